//! The feed of a service that does not run anywhere.

use std::sync::Arc;

use db::{Bell, Position};

use crate::feed::{Feed, FeedError, Partitions, Slice};

/// A feed on which nothing is ever said, for a service that is run without those it listens to: a shop
/// that takes inventory alone has orders of its own.
///
/// Where such a service is given its producer later, it reads on where it was.
#[derive(Clone, Debug)]
pub struct NoFeed {
    source: &'static str,
}

impl NoFeed {
    /// The silent feed of a service.
    pub fn of(source: &'static str) -> Self {
        Self { source }
    }
}

impl Feed for NoFeed {
    fn source(&self) -> &str {
        self.source
    }

    fn listen(&self, _bell: &Arc<Bell>) {}

    fn read(&self, _: Partitions, _: Position, _: usize) -> Result<Slice, FeedError> {
        Err(FeedError::Unavailable("nobody says anything here, as was asked for".into()))
    }
}
