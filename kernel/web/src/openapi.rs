//! What a program answers, said for those who ask: `OpenAPI` 3.1, drawn from the routes themselves.
//!
//! ```text
//! Routes::about("Orders").put("/v1/orders/{id}", place, openapi::place())   handler and Operation together
//!    ├─ into_parts ─▶ Router       what answers
//!    └─ into_parts ─▶ Description ─▶ document ─▶ /openapi.json, /docs
//! ```
//!
//! Reading order: `routes`, `operation`, [`schema`], `document`.
//!
//! Source: <https://spec.openapis.org/oas/v3.1.1>.

mod document;
mod operation;
mod routes;
pub mod schema;

pub use document::document;
pub(crate) use operation::FORM;
pub use operation::{Answer, Example, Operation, Parameter, Place};
pub use routes::{Description, Routes};
