//! A command together with who asks, why and on whose behalf.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use telemetry::otlp::{self, Span, Step};
use world::{Chance, Moment, stable_hash};

/// A command as it arrives at the desk.
#[derive(Clone, Debug)]
pub struct Asked<C> {
    /// What is to be done.
    pub command: C,
    /// Who asks, and what it belongs to.
    pub by: Context,
    /// After this moment nobody waits for the answer any more; a command past it is dropped before
    /// it runs, never after. None for what must happen however late.
    pub until: Option<Moment>,
}

impl<C> Asked<C> {
    /// A command that must happen, however late.
    pub fn new(command: C, by: Context) -> Self {
        Self { command, by, until: None }
    }
}

/// Who asks, and what the request belongs to; carried by every command and every event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Who acts.
    pub actor: Actor,
    /// Whose names the caller's names are: the API key, or `local` without one.
    pub owner: Arc<str>,
    /// Where the write came from.
    pub origin: Origin,
    /// The market that it belongs to, where the shop has several.
    pub market: Option<Arc<str>>,
    /// The trace that it is part of.
    pub trace: Trace,
    /// The request or story that it belongs to: the same for all that follows from one request.
    pub correlation: Arc<str>,
    /// The request or event that caused it directly.
    pub causation: Arc<str>,
}

impl Context {
    /// The context of work that the system starts by itself, such as a deadline that passed.
    pub fn system(cause: &str, trace: Trace) -> Self {
        let cause: Arc<str> = cause.into();
        Self {
            actor: Actor::System,
            owner: LOCAL_OWNER.into(),
            origin: Origin::Native,
            market: None,
            trace,
            correlation: cause.clone(),
            causation: cause,
        }
    }
}

/// The owner of names where callers have no keys.
pub const LOCAL_OWNER: &str = "local";

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Somebody on this machine, without a key.
    Local,
    /// A program with an API key.
    Client(Arc<str>),
    /// A customer of the shop.
    Customer(Arc<str>),
    /// A member of the shop's staff.
    Staff(Arc<str>),
    /// A service of this platform.
    Service(Arc<str>),
    /// The platform itself, when something became due.
    System,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Client(id) => write!(f, "client:{id}"),
            Self::Customer(id) => write!(f, "customer:{id}"),
            Self::Staff(id) => write!(f, "staff:{id}"),
            Self::Service(id) => write!(f, "service:{id}"),
            Self::System => f.write_str("system"),
        }
    }
}

/// A text that names no actor, origin or trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub &'static str);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unreadable {}", self.0)
    }
}

impl std::error::Error for Unreadable {}

impl FromStr for Actor {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        match text.split_once(':') {
            None if text == "local" => Ok(Self::Local),
            None if text == "system" => Ok(Self::System),
            Some(("client", id)) => Ok(Self::Client(id.into())),
            Some(("customer", id)) => Ok(Self::Customer(id.into())),
            Some(("staff", id)) => Ok(Self::Staff(id.into())),
            Some(("service", id)) => Ok(Self::Service(id.into())),
            _ => Err(Unreadable("actor")),
        }
    }
}

/// Where a write came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From Banyan itself.
    Native,
    /// From a bulk import.
    Import,
    /// From the old shop, while both run.
    Legacy,
}

impl Origin {
    /// The word that stands for it in columns and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Import => "import",
            Self::Legacy => "legacy",
        }
    }
}

impl FromStr for Origin {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        match text {
            "native" => Ok(Self::Native),
            "import" => Ok(Self::Import),
            "legacy" => Ok(Self::Legacy),
            _ => Err(Unreadable("origin")),
        }
    }
}

/// A place in a distributed trace, written as the W3C's `traceparent` (version 00).
/// Source: <https://www.w3.org/TR/trace-context/#traceparent-header>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The whole trace; never 0.
    pub trace_id: u128,
    /// The step in it; never 0.
    pub span_id: u64,
    /// Whether whoever began it wants to see its steps.
    pub is_sampled: bool,
}

impl Trace {
    /// The beginning of a new trace.
    pub fn begin(chance: &mut Chance) -> Self {
        let trace_id = (u128::from(chance.bits()) << 64) | u128::from(chance.bits()) | 1;
        Self { trace_id, span_id: chance.bits() | 1, is_sampled: otlp::samples(None, trace_id) }
    }

    /// A next step in a trace that comes from elsewhere.
    #[must_use]
    pub fn step(self, chance: &mut Chance) -> Self {
        let is_sampled = otlp::samples(Some(self.is_sampled), self.trace_id);
        Self { span_id: chance.bits() | 1, is_sampled, ..self }
    }

    /// The next step in the same trace in which somebody acts for a cause: the same each time, so that
    /// what is delivered twice, or done again after a crash, is one step.
    #[must_use]
    pub fn step_for(self, who: &str, cause: &str) -> Self {
        let step = format!("{:016x} {who} {cause}", self.span_id);
        Self { span_id: stable_hash(step.as_bytes()).max(1), ..self }
    }

    /// Tells a collector, where there is one, of this step, which has just ended and took so long;
    /// `parent` is the step that it follows from.
    pub fn tell(self, parent: Option<u64>, took: Duration, span: impl FnOnce() -> Span) {
        let Self { trace_id, span_id, is_sampled } = self;
        otlp::tell(Step { trace_id, span_id, parent, is_sampled }, took, span);
    }

    /// The trace's number as others write it: 32 hexadecimal digits.
    pub fn id(self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.is_sampled))
    }
}

impl FromStr for Trace {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let unreadable = Unreadable("traceparent");
        let mut parts = text.split('-');
        let (Some(version), Some(trace), Some(span), Some(flags)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(unreadable);
        };
        let hex = |part: &str, length: usize| {
            part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        // A later version may append fields; 00 has exactly four.
        let whole = version != "ff" && (version != "00" || parts.next().is_none());
        if !whole || !hex(version, 2) || !hex(trace, 32) || !hex(span, 16) || !hex(flags, 2) {
            return Err(unreadable);
        }
        let trace_id = u128::from_str_radix(trace, 16).map_err(|_| unreadable.clone())?;
        let span_id = u64::from_str_radix(span, 16).map_err(|_| unreadable.clone())?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| unreadable.clone())?;
        // Of the flags only the lowest says whether it is sampled.
        let trace = Self { trace_id, span_id, is_sampled: flags & 1 == 1 };
        if trace_id == 0 || span_id == 0 { Err(unreadable) } else { Ok(trace) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Actor, Trace};

    #[test]
    fn a_traceparent_is_read_as_the_standard_has_it() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(text.parse::<Trace>().unwrap().to_string(), text);
        let unsampled = text.replace("-01", "-02").parse::<Trace>().unwrap();
        assert_eq!((unsampled.is_sampled, unsampled.to_string()), (false, text.replace("-01", "-00")));
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(bad.parse::<Trace>().is_err(), "{bad}");
        }
        assert!("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later".parse::<Trace>().is_ok());
    }

    #[test]
    fn a_step_for_a_cause_is_the_same_each_time_and_no_other() {
        let trace = Trace { trace_id: 7, span_id: 7, is_sampled: true };
        let step = trace.step_for("inventory", "orders-1-1");
        assert_eq!((step, step.trace_id), (trace.step_for("inventory", "orders-1-1"), 7));
        let others = [
            trace,
            trace.step_for("payments", "orders-1-1"),
            trace.step_for("inventory", "orders-1-2"),
            step.step_for("inventory", "orders-1-1"),
        ];
        assert!(!others.contains(&step), "{others:?}");
    }

    #[test]
    fn an_actor_is_read_as_it_is_written() {
        for actor in [Actor::Local, Actor::System, Actor::Customer("a:b".into()), Actor::Service("orders".into())] {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        assert!("root".parse::<Actor>().is_err());
    }
}
