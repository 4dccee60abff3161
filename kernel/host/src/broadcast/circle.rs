//! Those who want the same events, and what they are still to be told.
//!
//! They are told one after another, each of all that has been said until its turn: whoever comes late in a round
//! hears of the newest event as soon as whoever comes first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use db::Position;

use super::message::{Message, Wave};
use super::queue::Queue;

/// Those who want the same, by the number of their subscription.
#[derive(Debug, Default)]
pub(super) struct Circle {
    members: BTreeMap<u64, Member>,
    /// What they want and not all of them have been told, in its order.
    news: VecDeque<Arc<Message>>,
    /// What was handed out last, and after which position: most are told the same as the one before them.
    last: Option<(Position, Arc<Wave>)>,
}

#[derive(Debug)]
struct Member {
    queue: Arc<Queue>,
    /// Up to here everything lies in the queue.
    upto: Position,
}

/// Some who are told one after another.
pub(super) struct Group {
    /// Each queue with what comes into it.
    pub(super) told: Vec<(Arc<Queue>, Arc<Wave>)>,
    /// The number of the last of them.
    pub(super) last: u64,
}

impl Circle {
    /// Takes in somebody who has been told of everything up to a position.
    pub(super) fn join(&mut self, number: u64, queue: Arc<Queue>, upto: Position) {
        self.members.insert(number, Member { queue, upto });
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.members.remove(&number);
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.members.values().map(|member| &member.queue)
    }

    /// Has something to be told to all of them.
    pub(super) fn say(&mut self, message: Arc<Message>) {
        self.news.push_back(message);
    }

    /// How much not all of them have been told.
    pub(super) fn news(&self) -> usize {
        self.news.len()
    }

    /// The next who follow a number, so many at most, with all that they have not been told up to a position; none
    /// where nobody follows it.
    pub(super) fn group(&mut self, after: u64, size: usize, upto: Position) -> Option<Group> {
        let mut group = Group { told: Vec::with_capacity(size), last: after };
        for (number, member) in self.members.range_mut(after + 1..).take(size) {
            group.last = *number;
            if let Some(wave) = wave_after(&self.news, &mut self.last, member.upto) {
                group.told.push((member.queue.clone(), wave));
            }
            member.upto = upto;
        }
        (group.last > after).then_some(group)
    }

    /// Forgets what all of them have been told: everything up to a position.
    pub(super) fn forget(&mut self, upto: Position) {
        while self.news.front().is_some_and(|message| message.position() <= upto) {
            self.news.pop_front();
        }
        self.last = None;
    }
}

fn wave_after(
    news: &VecDeque<Arc<Message>>,
    last: &mut Option<(Position, Arc<Wave>)>,
    after: Position,
) -> Option<Arc<Wave>> {
    let newest = news.back()?.position();
    match last {
        Some((from, wave)) if *from == after && wave.last() == newest => Some(wave.clone()),
        _ if newest <= after => None,
        _ => {
            let wave = Wave::of(news.iter().filter(|message| message.position() > after).cloned().collect());
            *last = Some((after, wave.clone()));
            Some(wave)
        }
    }
}
