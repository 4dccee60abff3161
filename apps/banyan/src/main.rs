//! The program: all of Banyan in one process, or the services that are named.
//!
//! ```text
//! banyan up               everything, with a file for each service
//! banyan serve SERVICE…   some services; the events of others come over HTTP
//! banyan import stock     a table of counts into the running server; export stock: the other way
//! banyan events           what happened, and how an order stood at a time, from the running server
//! banyan keys             who may ask the server for what
//! banyan backup DIR       a copy of all data, while programs work on it; restore DIR: puts it back
//! banyan audit            whether the books balance, through the running server or on its files
//! banyan bench NAME       a figure, and its ratio to a limit taken in the same run
//! banyan doctor           whether Banyan can run here, and what to do where it cannot
//! banyan settings         every setting with its meaning and default
//! banyan completions SHELL, banyan man [VERB…]: what the command line says of itself
//! ```
//!
//! Reading order: `cli`, `services` (what there is), `config` and `otel` (what may be chosen), `run` (from
//! settings to a program at work), `folder`, `demo`, `events`, `bulk`, `keys`, `audit`,
//! `backup`, `doctor`.
//!
//! **Invariant:** exit code 0 means done, 1 that the work failed, 2 a wrong use or setting; what went
//! wrong is said in one line on the error output.

mod audit;
mod backup;
mod bench;
mod bulk;
mod cli;
mod config;
mod demo;
mod doctor;
mod events;
mod folder;
mod keys;
mod otel;
mod run;
mod services;
mod stop;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!("banyan: {stop}");
            stop.code()
        }
    }
}
