//! The one place where an order changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use contracts::orders::{Event, OrderPlaced};
use db::{Asked, Context, Failure, Kind, Perform, Tx};
use ids::Number;
use world::Moment;

use crate::domain::{self, Command, Order, Place, Policy, Rejection};
use crate::publish;
use crate::store::{self, key};

/// What a command is answered with: the order as it is then, and whether it is new.
pub type Answer = Result<Told, Rejection>;

/// An order as it is after a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The order.
    pub order: Box<Order>,
    /// Whether the command began it.
    pub is_new: bool,
}

/// How commands are told apart at the desk.
pub(crate) const KIND: Kind<Command> = Kind { key_of, weigh };

/// Performs commands on orders under a policy: load all, decide each, store all, publish.
pub(crate) fn under(policy: Policy) -> Perform<Command, Answer> {
    Arc::new(move |tx, commands| perform(tx, commands, &policy))
}

fn perform(tx: &mut Tx<'_>, commands: &[Asked<Command>], policy: &Policy) -> Result<Vec<Answer>, Failure> {
    let names = commands.iter().filter_map(|asked| name_of(&asked.by, &asked.command));
    let numbers = commands.iter().filter_map(|asked| match asked.command {
        Command::Overdue { number } => Some(number),
        _ => None,
    });
    let mut batch = Batch::default();
    for (order, looked_at) in store::load(tx, names, numbers)? {
        batch.names.insert(key(&order.owner, &order.name), order.number);
        batch.orders.insert(order.number, Entry { order, placed: None, looked_at, changed: false });
    }
    let answers = commands.iter().map(|asked| batch.carry_out(tx, asked, policy)).collect();
    batch.save(tx, policy)?;
    Ok(answers)
}

/// The orders that a batch touches.
#[derive(Default)]
struct Batch {
    orders: BTreeMap<Number, Entry>,
    names: BTreeMap<String, Number>,
}

struct Entry {
    order: Order,
    /// The event that began it, where this batch did.
    placed: Option<OrderPlaced>,
    /// When it will be looked at whether its step is overdue.
    looked_at: Option<Moment>,
    changed: bool,
}

impl Entry {
    /// When it is to be looked at next. A look that is planned already and comes no later than the
    /// deadline is kept, for the steps of an order follow each other within milliseconds and the
    /// moment stands in an index: the look then finds that there is time left, and plans another.
    fn next_look(&self, policy: &Policy, now: Moment) -> Option<Moment> {
        let deadline = policy.deadline(&self.order, self.order.updated_at)?;
        let planned = self.looked_at.filter(|planned| now < *planned && *planned <= deadline);
        planned.or(Some(deadline))
    }
}

impl Batch {
    fn carry_out(&mut self, tx: &mut Tx<'_>, asked: &Asked<Command>, policy: &Policy) -> Answer {
        let number = match (&asked.command, name_of(&asked.by, &asked.command)) {
            (Command::Overdue { number }, _) => Some(*number),
            (_, Some(name)) => self.names.get(&name).copied(),
            (_, None) => None,
        };
        let Some(entry) = number.and_then(|number| self.orders.get_mut(&number)) else {
            return match &asked.command {
                Command::Place(place) => Ok(self.place(tx, &asked.by, place, policy)),
                _ => Err(Rejection::UnknownOrder),
            };
        };
        if let Command::Overdue { .. } = asked.command
            && policy.deadline(&entry.order, entry.order.updated_at).is_some_and(|deadline| deadline > tx.now())
        {
            entry.changed = true;
            return Ok(Told { order: Box::new(entry.order.clone()), is_new: false });
        }
        for event in domain::decide(&entry.order, &asked.command, policy)? {
            entry.order.apply(tx.now(), &event);
            entry.changed = true;
            publish::one(tx, &entry.order, &event, &asked.by);
        }
        Ok(Told { order: Box::new(entry.order.clone()), is_new: false })
    }

    fn place(&mut self, tx: &mut Tx<'_>, by: &Context, place: &Place, policy: &Policy) -> Told {
        let number = tx.number();
        let placed = domain::place(place, number, policy);
        let order = Order::placed(number, &by.owner, tx.now(), &placed);
        // The story that begins here is known by the order's name from now on.
        let by = Context { correlation: place.order.as_str().into(), ..by.clone() };
        publish::one(tx, &order, &Event::OrderPlaced(placed.clone()), &by);
        self.names.insert(key(&order.owner, &order.name), number);
        let told = Told { order: Box::new(order.clone()), is_new: true };
        self.orders.insert(number, Entry { order, placed: Some(placed), looked_at: None, changed: true });
        told
    }

    fn save(&self, tx: &mut Tx<'_>, policy: &Policy) -> Result<(), Failure> {
        let now = tx.now();
        let (mut new, mut old) = (Vec::new(), Vec::new());
        for entry in self.orders.values().filter(|entry| entry.changed) {
            let due_at = entry.next_look(policy, now);
            match &entry.placed {
                Some(placed) => new.push((&entry.order, placed, due_at)),
                None => old.push((&entry.order, due_at)),
            }
        }
        store::insert(tx, &new)?;
        store::update(tx, &old);
        Ok(())
    }
}

fn name_of(by: &Context, command: &Command) -> Option<String> {
    match command {
        Command::Place(place) => Some(key(&by.owner, &place.order)),
        Command::Cancel { order, .. } | Command::Hear { order, .. } => Some(key(&by.owner, order)),
        Command::Overdue { .. } => None,
    }
}

fn key_of(command: &Command) -> u64 {
    match command {
        Command::Place(place) => world::stable_hash(place.order.as_str().as_bytes()),
        Command::Cancel { order, .. } | Command::Hear { order, .. } => world::stable_hash(order.as_str().as_bytes()),
        Command::Overdue { number } => number.to_column().unsigned_abs(),
    }
}

fn weigh(command: &Command) -> usize {
    match command {
        Command::Place(place) => 1 + place.lines.len() / 4,
        _ => 1,
    }
}
