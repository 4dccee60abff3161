use std::process::Command;

use crate::binary::{banyan, run};

#[test]
fn each_shell_gets_completions_that_know_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, said) = run(&mut banyan(&["completions", shell]));
        assert_eq!((code, said.as_str()), (0, ""), "{shell}");
        assert!(["doctor", "serve", "import"].iter().all(|verb| out.contains(verb)), "{shell}");
    }
    let script = format!("source <({} completions bash) && complete -p banyan", env!("CARGO_BIN_EXE_banyan"));
    let output = Command::new("bash").args(["-c", &script]).output().expect("there is a bash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(run(&mut banyan(&["completions", "tcsh"])).0, 2);
}

#[test]
fn the_manual_has_a_page_for_the_program_and_for_each_verb() {
    for (verb, told) in [(&[][..], "doctor"), (&["up"], "demo"), (&["import", "stock"], "banyan import stock")] {
        let (code, out, said) = run(&mut banyan(&[&["man"], verb].concat()));
        assert_eq!((code, said.as_str()), (0, ""), "{verb:?}");
        assert!(out.contains(".TH") && out.contains(told), "{verb:?}: {out}");
    }
    let (code, _, said) = run(&mut banyan(&["man", "upp"]));
    assert!(code == 2 && said.contains("there is no verb upp"), "{said}");
}
