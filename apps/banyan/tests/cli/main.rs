//! The program itself, from the shell's side: what it prints, what it answers, how it ends.

mod binary;

mod about;
mod audit;
mod backup;
mod bulk;
mod dashboards;
mod doctor;
mod ending;
mod events;
mod keys;
mod large;
mod openapi;
mod otlp;
mod serving;
mod settings;
mod starting;
mod status;
mod tls;
mod tracing;
mod webhooks;
