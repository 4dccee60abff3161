//! Reads the files of a folder on which no program runs, and writes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ::events::{Envelope, Position};
use db::{AtRest, Failure, Read, Refused};
use ids::{Number, Sku};
use inventory::{Comparison, Kept};
use payments::provider::test::TestProvider;
use tokio::runtime::Builder;
use world::World;

use super::source::{Charge, Level, Order, Source, Trouble};
use crate::folder;
use crate::services::{self, PROVIDERS_BOOK};
use crate::stop::Stop;

/// The services whose files are read.
pub(super) const READ: [&str; 3] = [inventory::NAME, orders::NAME, payments::NAME];
/// Rows or events that are read at once.
const PIECE: u16 = 1_000;

/// The files of a folder.
pub(super) struct Files {
    folder: PathBuf,
    world: World,
    databases: BTreeMap<&'static str, AtRest>,
    /// How far the events of a service were read.
    after: BTreeMap<&'static str, Position>,
}

impl Files {
    /// Opens the files of all services that are read; they lie in one folder, or none of them counts.
    pub(super) fn open(folder: &Path) -> Result<Self, Stop> {
        let world = World::real();
        let mut databases = BTreeMap::new();
        for known in services::ALL.iter().filter(|known| READ.contains(&known.name)) {
            let path = folder::database(folder, known.name);
            is_there(&path)?;
            let database = AtRest::open(known.name, &path, &world, known.migrations);
            let cannot = |cause| Stop::Failed(format!("{} cannot be audited: {cause}", path.display()));
            databases.insert(known.name, database.map_err(cannot)?);
        }
        is_there(&folder.join(PROVIDERS_BOOK))?;
        Ok(Self { folder: folder.to_owned(), world, databases, after: BTreeMap::new() })
    }

    fn read<T>(
        &mut self,
        service: &'static str,
        work: impl FnOnce(&mut Read<'_>) -> Result<T, Failure>,
    ) -> Result<T, Trouble> {
        let database = self.databases.get_mut(service).expect("all that are read were opened");
        database.read(work).map_err(|failure| trouble(service, &failure))
    }
}

/// What lies there cannot be, or cannot be read.
fn trouble(service: &str, failure: &Failure) -> Trouble {
    let said = format!("{service}.db: {failure}");
    match failure {
        Failure::Corrupt(_) | Failure::Panicked(_) => Trouble::Wrong(said),
        _ => Trouble::Stop(Stop::Failed(said)),
    }
}

fn is_there(file: &Path) -> Result<(), Stop> {
    if file.exists() {
        return Ok(());
    }
    Err(Stop::Failed(format!("{} is missing; an audit needs the files of all services in one folder", file.display())))
}

impl Source for Files {
    fn name(&self) -> String {
        format!("the files in {}, on which nothing runs", self.folder.display())
    }

    fn news(&mut self, service: &'static str) -> Result<Vec<Envelope>, Trouble> {
        let after = self.after.get(service).copied().unwrap_or(0);
        let news = self.read(service, |read| read.events_after(after, PIECE.into()))?;
        if let Some(last) = news.last() {
            self.after.insert(service, last.position);
        }
        Ok(news)
    }

    fn levels(&mut self, skus: &[String]) -> Result<Vec<Level>, Trouble> {
        let skus: Vec<Sku> = skus.iter().filter_map(|sku| sku.parse().ok()).collect();
        let pools = self.read(inventory::NAME, |read| inventory::levels(read, &skus))?;
        let mut levels: BTreeMap<Sku, Level> = BTreeMap::new();
        for (sku, _, pool) in pools {
            let (level, of_pool) = (levels.entry(sku).or_default(), pool.level());
            level.on_hand += of_pool.on_hand;
            level.reserved += of_pool.reserved;
            level.committed += of_pool.committed;
            level.owed += of_pool.owed;
        }
        Ok(levels.into_iter().map(|(sku, level)| Level { sku: sku.as_str().to_owned(), ..level }).collect())
    }

    fn orders(&mut self) -> Result<Vec<Order>, Trouble> {
        let mut orders = Vec::new();
        let mut after = Number::from_column(0);
        loop {
            let piece = self.read(orders::NAME, |read| orders::orders_after(read, after, PIECE.into()))?;
            let Some(last) = piece.last() else { return Ok(orders) };
            after = last.number;
            orders.extend(piece.into_iter().map(|order| Order {
                id: order.name.as_str().to_owned(),
                status: order.status.as_str().to_owned(),
                total: order.total.amount(),
                payment: order.payment.as_str().to_owned(),
            }));
        }
    }

    fn charges(&mut self) -> Result<Vec<Charge>, Trouble> {
        let wrong = |cause| Trouble::Wrong(format!("{PROVIDERS_BOOK}: {cause}"));
        let book = TestProvider::open_to_read(&self.folder.join(PROVIDERS_BOOK)).map_err(wrong)?;
        let (mut charges, mut after) = (Vec::new(), None);
        loop {
            let piece = book.charges(after.as_ref(), PIECE.into()).map_err(wrong)?;
            let Some(last) = piece.last() else { return Ok(charges) };
            after = Some(last.key.clone());
            charges.extend(piece.iter().map(|charge| Charge {
                key: charge.key.to_string(),
                held: charge.held(),
                kept: charge.captured() - charge.refunded(),
            }));
        }
    }

    fn rows(&mut self) -> Result<Option<Comparison>, Trouble> {
        let kept = self.read(inventory::NAME, Kept::read)?;
        let runtime = Builder::new_current_thread().build().map_err(Stop::failed)?;
        let compared = runtime.block_on(kept.compare(&self.world));
        compared.map(Some).map_err(|refused| match refused {
            Refused::Failed(failure) => trouble(inventory::NAME, &failure),
            refused => Trouble::Stop(Stop::failed(refused)),
        })
    }

    fn is_still_the_same(&self) -> Result<(), Stop> {
        if folder::at_work(&self.folder)?.is_empty() {
            return Ok(());
        }
        let folder = self.folder.display();
        Err(Stop::Failed(format!("a program has begun to run on {folder} meanwhile; audit again, through it")))
    }
}
