//! The producer's table, within its process.

use std::sync::Arc;

use db::Database;
use events::{Feed, TableFeed};

use crate::Carrier;
use crate::producer::Producer;

#[derive(Default)]
pub(crate) struct Table {
    producer: Option<Database>,
}

impl Carrier for Table {
    fn feed(&self) -> Arc<dyn Feed> {
        Arc::new(TableFeed::of(self.producer.as_ref().expect("a producer")))
    }

    fn carry(&mut self, producer: &Producer) {
        self.producer = Some(producer.database.clone());
    }

    fn lose_producer(&mut self) {
        self.producer = None;
    }

    fn is_in_process(&self) -> bool {
        true
    }
}
