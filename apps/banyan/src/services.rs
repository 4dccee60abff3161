//! The services that there are. A new service is one more entry in [`ALL`].

use std::path::Path;

use db::Migration;
use host::{Ground, Service};
use payments::provider::test::TestProvider;
use settings::{Section, Settings, SettingsError};
use web::ProblemKind;

use crate::stop::Stop;

/// A service that this program can run.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) migrations: &'static [Migration],
    pub(crate) section: Section,
    pub(crate) kinds: &'static [&'static ProblemKind],
    /// The services whose events it reads.
    pub(crate) listens: &'static [&'static str],
    /// Whether it keeps something in the data folder beside its database.
    pub(crate) keeps_files: bool,
    /// Whether its threads let those of others go first: nobody who shops waits for it.
    pub(crate) gives_way: bool,
    /// Whether its settings can be, so that a wrong one is said before anything is touched.
    pub(crate) check: fn(&Settings) -> Result<(), SettingsError>,
    /// Puts it together; the folder is for what it keeps beside its database.
    pub(crate) assemble: fn(&Settings, &Ground, &Path) -> Result<Service, Stop>,
}

/// The file in the data folder in which the test provider writes its book.
pub(crate) const PROVIDERS_BOOK: &str = "test-provider.book";

/// All of them, in the order of their names.
pub(crate) static ALL: &[Known] = &[
    Known {
        name: inventory::NAME,
        migrations: inventory::MIGRATIONS,
        section: inventory::SECTION,
        kinds: inventory::api::problem::KINDS,
        listens: &[orders::NAME],
        keeps_files: false,
        gives_way: false,
        check: |settings| agree(settings, settings.section::<inventory::Config>(inventory::NAME)?.contradiction()),
        assemble: |settings, ground, _| {
            inventory::assemble(&settings.section(inventory::NAME)?, ground).map_err(Stop::failed)
        },
    },
    Known {
        name: notifications::NAME,
        migrations: notifications::MIGRATIONS,
        section: notifications::SECTION,
        kinds: notifications::api::problem::KINDS,
        listens: &[inventory::NAME, orders::NAME, payments::NAME],
        keeps_files: false,
        gives_way: true,
        check: |settings| settings.section::<notifications::Config>(notifications::NAME).map(drop),
        assemble: |settings, ground, _| {
            notifications::assemble(&settings.section(notifications::NAME)?, ground).map_err(Stop::failed)
        },
    },
    Known {
        name: orders::NAME,
        migrations: orders::MIGRATIONS,
        section: orders::SECTION,
        kinds: orders::api::problem::KINDS,
        listens: &[inventory::NAME, payments::NAME],
        keeps_files: false,
        gives_way: false,
        check: |settings| agree(settings, settings.section::<orders::Config>(orders::NAME)?.contradiction()),
        assemble: |settings, ground, _| {
            orders::assemble(&settings.section(orders::NAME)?, ground).map_err(Stop::failed)
        },
    },
    Known {
        name: payments::NAME,
        migrations: payments::MIGRATIONS,
        section: payments::SECTION,
        kinds: payments::api::problem::KINDS,
        listens: &[orders::NAME],
        keeps_files: true,
        gives_way: false,
        check: |settings| agree(settings, settings.section::<payments::Config>(payments::NAME)?.contradiction()),
        assemble: |settings, ground, folder| {
            let book = folder.join(PROVIDERS_BOOK);
            let provider = TestProvider::open(&book).map_err(|cause| {
                Stop::Failed(format!(
                    "the test provider's book {} cannot be read: {cause}. A folder of an earlier build has to be begun anew: \
                     name another with --data, or put a backup back",
                    book.display()
                ))
            })?;
            payments::assemble_with_test_provider(&settings.section(payments::NAME)?, ground, &provider)
                .map_err(Stop::failed)
        },
    },
];

/// Refuses two settings of which a service says that they contradict each other.
fn agree(
    settings: &Settings,
    contradiction: Option<(&'static str, &'static str, &'static str)>,
) -> Result<(), SettingsError> {
    contradiction.map_or(Ok(()), |(one, other, wanted)| Err(settings.contradiction(one, other, wanted)))
}
