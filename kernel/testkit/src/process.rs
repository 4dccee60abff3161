//! Signals to other processes, and what `/proc` says of them.

use std::fs;
use std::process::Command;

/// Sends a signal, such as `KILL`, to processes; those that have ended already are passed over.
pub(crate) fn signal(signal: &str, processes: &[u32]) {
    for process in processes {
        // The shell's own `kill`, for not every machine has the program of that name.
        let sent = Command::new("sh").args(["-c", r#"kill -s "$0" "$1""#, signal, &process.to_string()]).output();
        let sent = sent.expect("there is a shell");
        assert!(sent.status.success() || !runs(*process), "{}", String::from_utf8_lossy(&sent.stderr));
    }
}

/// Says whether a process has neither ended nor waits only to be buried.
pub(crate) fn runs(process: u32) -> bool {
    stat(process).is_some_and(|stat| stat.state != 'Z')
}

/// Says whether a process is held still by a signal.
pub(crate) fn is_stopped(process: u32) -> bool {
    stat(process).is_some_and(|stat| stat.state == 'T')
}

/// Lists the processes that a process has started and that have not ended.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").expect("/proc is there").flatten();
    let processes = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.filter(|process| stat(*process).is_some_and(|stat| stat.parent == parent)).collect()
}

struct Stat {
    state: char,
    parent: u32,
}

/// Reads `/proc/PID/stat`: the name stands in brackets and may hold anything, so what counts is
/// what follows the last one. Source: proc(5).
fn stat(process: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some(Stat { state: fields.next()?.chars().next()?, parent: fields.next()?.parse().ok()? })
}
