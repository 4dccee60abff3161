//! The program itself, from the shell's side: what it prints, what it answers, how it ends.

mod binary;

mod bulk;
mod ending;
mod events;
mod serving;
mod settings;
mod starting;
