//! The one place where stock changes.

use std::sync::Arc;

use db::{Asked, Failure, Kind, Perform, Tx};

use crate::domain::{Act, Books, Command, Policy, Rejection, Settled, key};
use crate::jobs::lapse_of;
use crate::publish;
use crate::store::recent::Stamped;
use crate::store::{self, Touched};

/// What a command is answered with.
pub type Answer = Result<Settled, Rejection>;

/// How commands are told apart at the desk.
pub(crate) const KIND: Kind<Command> = Kind { key_of, weigh };

/// Performs commands on stock under a policy: load all, decide each, store all, publish. What was read
/// lately of what they change is no longer given. Where the database is shared, others may change the same.
pub(crate) fn under(policy: Policy, stamped: Option<Arc<Stamped>>, is_shared: bool) -> Perform<Command, Answer> {
    Arc::new(move |tx, commands| perform(tx, commands, &policy, stamped.as_ref(), is_shared))
}

fn perform(
    tx: &mut Tx<'_>,
    commands: &[Asked<Command>],
    policy: &Policy,
    stamped: Option<&Arc<Stamped>>,
    is_shared: bool,
) -> Result<Vec<Answer>, Failure> {
    let (mut books, lapsed) = store::load(tx, touched(commands), is_shared)?;
    for (number, story) in &lapsed {
        let by = lapse_of(story);
        books.expire(&by.owner, *number, policy, tx.now());
        tx.tell_step(&by, story.trace);
        publish::all(tx, &mut books, &by);
    }
    let answers: Vec<Answer> = commands.iter().map(|asked| carry_out(tx, &mut books, asked, policy)).collect();
    #[cfg(feature = "planted-bugs")]
    if world::planted::is(world::planted::Bug::EventWithoutFact) && answers.iter().any(Result::is_err) {
        return Ok(answers);
    }
    if let Some(changing) = stamped.and_then(|stamped| stamped.changing(&books)) {
        // It is dropped after the answers; or with the transaction, where that is taken back.
        tx.after_commit(move || drop(changing));
    }
    store::save(tx, &books)?;
    Ok(answers)
}

fn carry_out(tx: &mut Tx<'_>, books: &mut Books, asked: &Asked<Command>, policy: &Policy) -> Answer {
    let now = tx.now();
    let answer = books.carry_out(&asked.by.owner, &asked.command, policy, now, &|| tx.number());
    publish::all(tx, books, &asked.by);
    answer
}

/// What the commands of a batch touch, as far as they say it.
fn touched(commands: &[Asked<Command>]) -> Touched {
    let mut touched = Touched::default();
    for asked in commands {
        let owner = &asked.by.owner;
        match &asked.command {
            Command::Move(movement) => {
                touched.movements.insert(key(owner, &movement.name));
                touched.skus.insert(movement.sku.clone());
                let taken = match movement.act {
                    Act::Adjust { quantity, .. } if quantity < 0 => -quantity,
                    Act::Transfer { quantity, .. } => quantity,
                    Act::Receive { .. } | Act::Count { .. } | Act::Adjust { .. } => 0,
                };
                touched.freed += match movement.act {
                    Act::Receive { quantity, .. } | Act::Transfer { quantity, .. } => quantity,
                    Act::Count { counted, .. } => counted,
                    Act::Adjust { quantity, .. } => quantity.max(0),
                };
                if let Act::Count { counted, .. } = movement.act {
                    touched.counted.push((movement.sku.clone(), movement.warehouse.clone(), counted));
                }
                if taken > 0 {
                    touched.wanted.push((movement.sku.clone(), taken));
                }
            }
            Command::Arrive { name, .. } => {
                touched.movements.insert(key(owner, name));
                touched.moved_without_sku.insert(key(owner, name));
            }
            Command::Reserve(reserve) => {
                touched.reservations.insert(key(owner, &reserve.name));
                touched.skus.extend(reserve.lines.iter().map(|line| line.sku.clone()));
                if let Some(replaced) = &reserve.replaces {
                    touched.reservations.insert(key(owner, replaced));
                    touched.without_skus.insert(key(owner, replaced));
                }
                touched.wanted.extend(reserve.lines.iter().map(|line| (line.sku.clone(), line.quantity)));
            }
            Command::Extend { name, .. }
            | Command::Commit { name, .. }
            | Command::Ship { name }
            | Command::Release { name, .. } => {
                touched.reservations.insert(key(owner, name));
                touched.without_skus.insert(key(owner, name));
            }
            Command::Settle(settle) => {
                touched.reservations.insert(key(&settle.owner, &settle.reservation));
                touched.without_skus.insert(key(&settle.owner, &settle.reservation));
            }
            Command::SetSku { sku, .. } => {
                touched.edited_skus.insert(sku.clone());
            }
            Command::SetWarehouse { warehouse, .. } => {
                touched.edited_warehouses.insert(warehouse.clone());
            }
            Command::SetRestock { sku, .. } | Command::Serve { sku, .. } => {
                touched.skus.insert(sku.clone());
            }
            Command::Expire { number, .. } => {
                touched.numbers.insert(*number);
            }
        }
    }
    touched
}

fn key_of(command: &Command) -> u64 {
    let sku = match command {
        Command::Move(movement) => movement.sku.as_str(),
        Command::Reserve(reserve) => reserve.lines.first().map_or("", |line| line.sku.as_str()),
        Command::Arrive { name, .. }
        | Command::Extend { name, .. }
        | Command::Commit { name, .. }
        | Command::Ship { name }
        | Command::Release { name, .. } => name.as_str(),
        Command::SetSku { sku, .. } | Command::SetRestock { sku, .. } | Command::Serve { sku, .. } => sku.as_str(),
        Command::Settle(settle) => settle.sku.as_str(),
        Command::SetWarehouse { warehouse, .. } => warehouse.as_str(),
        Command::Expire { .. } => "",
    };
    world::stable_hash(sku.as_bytes())
}

/// What only names a reservation does not say how much that is: the store sees it, and takes such a batch apart
/// where it is a great deal.
fn weigh(command: &Command) -> usize {
    match command {
        Command::Reserve(reserve) => reserve.lines.len(),
        Command::Expire { levels, .. } => *levels,
        _ => 1,
    }
}
