//! Who may call a route.

use std::collections::BTreeMap;

use http::Method;
use keys::Scope;

use crate::openapi::Operation;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody who reaches the server, without a key: health, what documents the interface, and
    /// what others come to who cannot have a key.
    Everybody,
    /// Who has a key with this scope.
    Key(Scope),
    /// Who has a key with this scope, or has signed in with one: a page for people. A browser is sent to
    /// `/sign-in`, and one that asks for a change has to do so from a page of this program.
    SignedIn(Scope),
}

impl From<Scope> for Access {
    fn from(scope: Scope) -> Self {
        Self::Key(scope)
    }
}

/// Who may call what, by the template of the path.
#[derive(Clone, Debug)]
pub(crate) struct AccessTable(BTreeMap<&'static str, Vec<Entry>>);

#[derive(Clone, Debug)]
struct Entry {
    method: &'static str,
    access: Access,
    takes_no_query: bool,
    takes_no_body: bool,
}

impl AccessTable {
    pub(crate) fn of_operations(operations: &[Operation]) -> Self {
        let mut table: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for operation in operations {
            table.entry(operation.path).or_default().push(Entry {
                method: operation.method,
                access: operation.access,
                takes_no_query: operation.takes_no_query(),
                takes_no_body: operation.takes_no_body(),
            });
        }
        Self(table)
    }

    /// Who may call a route by a method; none where nobody answers it, and there is nothing to keep.
    pub(crate) fn of(&self, path: &str, method: &Method) -> Option<Access> {
        self.entry(path, method).map(|entry| entry.access)
    }

    /// Whether a route has no parameters, so that each is one too many.
    pub(crate) fn takes_no_query(&self, path: &str, method: &Method) -> bool {
        self.entry(path, method).is_some_and(|entry| entry.takes_no_query)
    }

    /// Whether a route changes something without a body, so that one that says anything is too much.
    pub(crate) fn takes_no_body(&self, path: &str, method: &Method) -> bool {
        self.entry(path, method).is_some_and(|entry| entry.takes_no_body)
    }

    fn entry(&self, path: &str, method: &Method) -> Option<&Entry> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.0.get(path)?.iter().find(|entry| entry.method == method)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use keys::Scope;

    use super::{Access, AccessTable};
    use crate::openapi::{Operation, Routes};

    #[test]
    fn each_method_of_a_path_has_its_own_scope_and_head_that_of_get() {
        let said = |id| Operation::new(id, "", "");
        let routes = Routes::<()>::default()
            .get("/a", Scope::OrdersRead, async || "", said("a"))
            .get("/b", Access::Everybody, async || "", said("b"))
            .merge(Routes::default().put("/a", Scope::OrdersWrite, async || "", said("c")));
        let access = AccessTable::of_operations(&routes.description().operations);
        assert_eq!(access.of("/a", &Method::HEAD), Some(Access::Key(Scope::OrdersRead)));
        assert_eq!(access.of("/a", &Method::PUT), Some(Access::Key(Scope::OrdersWrite)));
        assert_eq!(access.of("/b", &Method::GET), Some(Access::Everybody));
        assert_eq!((access.of("/a", &Method::POST), access.of("none", &Method::GET)), (None, None));
    }
}
