//! Which messages an endpoint wants.

use serde::{Deserialize, Serialize};

/// Which messages an endpoint wants: those of some types about some subjects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The types, such as `OrderConfirmed`; all where none is named.
    pub types: Vec<String>,
    /// The subjects; one that ends in `*` stands for all that begin so. All where none is named.
    pub subjects: Vec<String>,
}

impl Filter {
    /// Whether a message of this type about this subject is wanted.
    pub fn wants(&self, kind: &str, subject: &str) -> bool {
        self.wants_type(kind) && (self.subjects.is_empty() || self.subjects.iter().any(|wanted| is_of(wanted, subject)))
    }

    /// Whether any message of this type may be wanted.
    pub fn wants_type(&self, kind: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|wanted| wanted == kind)
    }
}

fn is_of(wanted: &str, subject: &str) -> bool {
    wanted.strip_suffix('*').map_or(wanted == subject, |begin| subject.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::Filter;

    #[test]
    fn an_endpoint_wants_what_its_filter_names_and_all_where_it_names_nothing() {
        let filter = |types: &[&str], subjects: &[&str]| Filter {
            types: types.iter().map(ToString::to_string).collect(),
            subjects: subjects.iter().map(ToString::to_string).collect(),
        };
        assert!(filter(&[], &[]).wants("OrderPlaced", "order-1"));
        assert!(filter(&["OrderPlaced", "OrderConfirmed"], &[]).wants("OrderConfirmed", "order-1"));
        assert!(!filter(&["OrderPlaced"], &[]).wants("OrderConfirmed", "order-1"));
        assert!(filter(&[], &["order-1"]).wants("OrderPlaced", "order-1"));
        assert!(!filter(&[], &["order-1"]).wants("OrderPlaced", "order-12"));
        assert!(filter(&[], &["web-*", "order-1*"]).wants("OrderPlaced", "order-12"));
        assert!(!filter(&["OrderPlaced"], &["order-*"]).wants("OrderCancelled", "order-12"));
        assert!(filter(&["OrderPlaced"], &["no"]).wants_type("OrderPlaced"), "its subject is looked at later");
    }
}
