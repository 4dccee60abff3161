//! What is cleaned up even where the test process is killed.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A piece of shell that runs when this value is dropped or the test process ends, even by a kill.
#[derive(Debug)]
pub(crate) struct Afterwards(Child);

impl Afterwards {
    /// Has a shell wait with a piece of script; `$1` in it is the argument.
    pub(crate) fn run(script: &str, argument: &str) -> Self {
        let mut shell = Command::new("sh");
        // Its input is a pipe that closes with the last who holds the other end: this process.
        shell.args(["-c", &format!("read -r _; {script}"), "afterwards", argument]);
        // A group of its own, so that Ctrl-C in a terminal ends the tests and not the one who cleans up.
        shell.process_group(0).current_dir("/");
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(shell.spawn().expect("there is a shell"))
    }
}

impl Drop for Afterwards {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It fails only if somebody else has waited for the shell, and then it has ended.
        let _ = self.0.wait();
    }
}
