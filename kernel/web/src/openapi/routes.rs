//! Routes that cannot be without their description, nor without who may call them.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use serde_json::Value;

use crate::access::Access;
use crate::openapi::operation::Operation;

/// Routes, each registered together with who may call it and what is said of it.
///
/// **Invariant:** every route has exactly one description, and every description its route.
#[derive(Clone, Debug)]
pub struct Routes<S = ()> {
    router: Router<S>,
    about: &'static str,
    described: Description,
}

/// What is said of routes: each operation in the order in which it was registered, and the schemas
/// that they refer to by name.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// The operations.
    pub operations: Vec<Operation>,
    /// The schemas by their names.
    pub schemas: Vec<(&'static str, Value)>,
}

impl Description {
    /// Adds what is said of other routes.
    pub fn extend(&mut self, other: Self) {
        self.operations.extend(other.operations);
        self.schemas.extend(other.schemas);
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self::about("")
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes yet; those to come are shown under this heading.
    pub fn about(heading: &'static str) -> Self {
        Self { router: Router::new(), about: heading, described: Description::default() }
    }

    /// Answers `GET`, and `HEAD` with it.
    #[must_use]
    pub fn get<H: Handler<T, S>, T: 'static>(
        self,
        path: &'static str,
        access: impl Into<Access>,
        handler: H,
        operation: Operation,
    ) -> Self {
        let operation = operation.at(self.about, "GET", path, access.into());
        self.add(operation, on(MethodFilter::GET, handler))
    }

    /// Answers `PUT`.
    #[must_use]
    pub fn put<H: Handler<T, S>, T: 'static>(
        self,
        path: &'static str,
        access: impl Into<Access>,
        handler: H,
        operation: Operation,
    ) -> Self {
        let operation = operation.at(self.about, "PUT", path, access.into());
        self.add(operation, on(MethodFilter::PUT, handler))
    }

    /// Answers `POST`.
    #[must_use]
    pub fn post<H: Handler<T, S>, T: 'static>(
        self,
        path: &'static str,
        access: impl Into<Access>,
        handler: H,
        operation: Operation,
    ) -> Self {
        let operation = operation.at(self.about, "POST", path, access.into());
        self.add(operation, on(MethodFilter::POST, handler))
    }

    /// Answers `DELETE`.
    #[must_use]
    pub fn delete<H: Handler<T, S>, T: 'static>(
        self,
        path: &'static str,
        access: impl Into<Access>,
        handler: H,
        operation: Operation,
    ) -> Self {
        let operation = operation.at(self.about, "DELETE", path, access.into());
        self.add(operation, on(MethodFilter::DELETE, handler))
    }

    fn add(mut self, operation: Operation, route: MethodRouter<S>) -> Self {
        let path = operation.path;
        self.described.operations.push(operation);
        Self { router: self.router.route(path, route), ..self }
    }

    /// Names schemas, to which operations refer with [`schema::reference`](super::schema::reference).
    #[must_use]
    pub fn with_schemas(mut self, schemas: Vec<(&'static str, Value)>) -> Self {
        self.described.schemas.extend(schemas);
        self
    }

    /// Gives the handlers what they share.
    pub fn with_state(self, state: S) -> Routes {
        Routes { router: self.router.with_state(state), about: self.about, described: self.described }
    }

    /// These routes and others.
    ///
    /// # Panics
    /// When both answer the same method of the same path.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.described.extend(other.described);
        Self { router: self.router.merge(other.router), ..self }
    }

    /// The templates of their paths, each as often as it answers a method.
    pub fn templates(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.described.operations.iter().map(|operation| operation.path)
    }

    /// What is said of them.
    pub fn description(&self) -> &Description {
        &self.described
    }

    /// What answers, and what is said of it.
    pub fn into_parts(self) -> (Router<S>, Description) {
        (self.router, self.described)
    }
}
