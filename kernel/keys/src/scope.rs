//! What may be done: the scopes that routes ask for and keys have.
//!
//! They are part of the interface, and the same in one process or in fifteen; that is why the kernel
//! knows these nouns, and not each service its own.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// What a route asks of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Read levels of stock.
    StockRead,
    /// Move, count and adjust stock.
    StockWrite,
    /// Reserve stock, and decide what becomes of a reservation.
    Reserve,
    /// Read orders and payments.
    OrdersRead,
    /// Place and cancel orders, and give money back.
    OrdersWrite,
    /// Everything, also what concerns the program: keys, events of all owners, dead letters, metrics.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::StockRead, Self::StockWrite, Self::Reserve, Self::OrdersRead, Self::OrdersWrite, Self::Admin];

    /// The word that stands for it everywhere outside.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StockRead => "stock:read",
            Self::StockWrite => "stock:write",
            Self::Reserve => "reserve",
            Self::OrdersRead => "orders:read",
            Self::OrdersWrite => "orders:write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A text that is no scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownScope;

impl fmt::Display for UnknownScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a scope is expected, one of {}", Scope::ALL.map(Scope::as_str).join(", "))
    }
}

impl std::error::Error for UnknownScope {}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

/// The scopes of a key; each once, in the order of [`Scope::ALL`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Whether a route that asks for this scope may be called; `admin` may call all.
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.contains(&scope) || self.0.contains(&Scope::Admin)
    }

    /// Whether nothing may be done.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut scopes: Vec<_> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes)
    }
}

/// A space between, as OAuth writes them.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" "))
    }
}

impl FromStr for Scopes {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        text.split_whitespace().map(str::parse::<Scope>).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Scope, Scopes};

    #[test]
    fn scopes_are_read_as_they_are_written() {
        let scopes: Scopes = Scope::ALL.into_iter().rev().chain([Scope::Reserve]).collect();
        assert_eq!(scopes.to_string(), "stock:read stock:write reserve orders:read orders:write admin");
        assert_eq!(scopes.to_string().parse(), Ok(scopes));
        assert!("stock:read stock".parse::<Scopes>().is_err());
    }

    #[test]
    fn a_scope_allows_itself_and_admin_allows_all() {
        for scope in Scope::ALL {
            let only: Scopes = [scope].into_iter().collect();
            for asked in Scope::ALL {
                assert_eq!(only.allow(asked), asked == scope || scope == Scope::Admin, "{scope} for {asked}");
            }
        }
    }
}
