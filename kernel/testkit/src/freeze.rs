//! A process that is held still, to see what waits for it.

use crate::afterwards::Afterwards;
use crate::eventually;
use crate::process::{is_stopped, runs, signal};

/// A process that is held still, as on an overloaded machine: it keeps its locks and connections,
/// and does nothing; it goes on when this value is dropped or the test process ends.
#[derive(Debug)]
pub struct Frozen {
    process: u32,
    _thaw: Afterwards,
}

impl Frozen {
    /// Holds a process still, and returns when it is.
    ///
    /// # Panics
    /// When there is no such process.
    pub fn process(process: u32) -> Self {
        assert!(runs(process), "there is no process {process} that could be frozen");
        let thaw = Afterwards::run(r#"kill -s CONT "$1""#, &process.to_string());
        signal("STOP", &[process]);
        eventually("the process is still", || is_stopped(process));
        Self { process, _thaw: thaw }
    }

    /// Lets the process go on.
    pub fn thaw(self) {}

    /// Ends the process without letting it do another thing.
    ///
    /// # Panics
    /// When this process may not end it.
    pub fn kill(self) {
        kill(self.process);
    }
}

/// Ends a process at once, as `kill -9` does, and returns when it is gone.
///
/// # Panics
/// When this process may not end it.
pub fn kill(process: u32) {
    signal("KILL", &[process]);
    eventually("the killed process is gone", || !runs(process));
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::{Frozen, kill};
    use crate::eventually;
    use crate::process::{is_stopped, runs};

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn a_frozen_process_is_still_until_it_is_thawed_or_dropped() {
        let mut child = sleeper();
        let process = child.id();
        let frozen = Frozen::process(process);
        assert!(is_stopped(process));
        frozen.thaw();
        eventually("it goes on after thaw", || !is_stopped(process));
        drop(Frozen::process(process));
        eventually("it goes on after drop", || !is_stopped(process));
        assert!(runs(process));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_frozen_process_can_be_killed() {
        let mut child = sleeper();
        Frozen::process(child.id()).kill();
        assert!(!runs(child.id()));
        child.wait().unwrap();
        kill(child.id());
    }
}
