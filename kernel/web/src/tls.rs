//! TLS as the server speaks it: a certificate with its key, taken anew when the files change.
//!
//! ```text
//! files ─▶ Certificate: readable? do the two belong together? ─▶ hand-shakes from here on
//!   └─ changed, and still since the last look ─▶ the same again; a pair that cannot be used leaves the one before
//! ```
//!
//! **Invariant:** a connection keeps the certificate with which it began; a new one disturbs none.

mod certificate;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use telemetry::{Counter, Meters, SecondsGauge};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, error, info, warn};
use world::World;

pub(crate) use self::certificate::said;
pub use self::certificate::{Certificate, Unusable};

/// How often the files are looked at. A change is taken once it has been the same for two looks, so
/// that no half of a new pair is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The first byte of a connection on which TLS is spoken: a record of the hand-shake.
/// Source: RFC 8446, section 5.1.
const HAND_SHAKE: u8 = 22;

/// Speaks TLS to whoever connects; cheap to clone, all clones share one certificate.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    world: World,
    current: Arc<Current>,
    /// How the files stood when the pair was read with which this began.
    began_with: Stamp,
    config: Arc<ServerConfig>,
    meters: TlsMeters,
}

/// The certificate that hand-shakes are given now.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// What is counted of hand-shakes and certificates.
#[derive(Debug)]
struct TlsMeters {
    completed: Counter,
    failed: Counter,
    late: Counter,
    plain: Counter,
    taken: Counter,
    refused: Counter,
    ends_at: SecondsGauge,
}

impl TlsMeters {
    fn on(page: &Meters) -> Self {
        let handshake = |outcome: &str| {
            let page = page.labelled("outcome", outcome);
            page.counter("tls_handshakes", "TLS hand-shakes by how they ended; `plain` where none was spoken")
        };
        let reload = |outcome: &str| {
            let page = page.labelled("outcome", outcome);
            page.counter("tls_reloads", "Changed files of the certificate, taken or refused")
        };
        let help = "When the certificate that is served ends, in seconds since 1970";
        Self {
            completed: handshake("completed"),
            failed: handshake("failed"),
            late: handshake("late"),
            plain: handshake("plain"),
            taken: reload("taken"),
            refused: reload("refused"),
            ends_at: page.seconds_gauge("tls_certificate_ends_at_seconds", help),
        }
    }
}

/// What tells whether a file is another than before; none where there is no file.
type Stamp = [Option<(u64, u64, i64, i64)>; 2];

/// What becomes of a connection on which TLS should be spoken.
pub(crate) enum Begun {
    /// It is spoken.
    Tls(Box<TlsStream<TcpStream>>),
    /// Something else is, as HTTP without TLS is.
    Plain(TcpStream),
    /// It has come to nothing.
    Nothing,
}

impl Tls {
    /// Reads a certificate and its key; what comes of hand-shakes and of new pairs is counted on the page.
    pub fn open(certificate: PathBuf, key: PathBuf, world: &World, page: &Meters) -> Result<Self, Unusable> {
        let began_with = [stamp(&certificate), stamp(&key)];
        let read = Certificate::read(&certificate, &key)?;
        let meters = TlsMeters::on(page);
        meters.ends_at.set(seconds(&read));
        tell_age(&read, world);
        let current = Arc::new(Current(ArcSwap::new(read.served)));
        let (world, config) = (world.clone(), Arc::new(config(current.clone())));
        Ok(Self(Arc::new(Inner { certificate, key, world, current, began_with, config, meters })))
    }

    /// Looks at the files for as long as the program runs, and takes a pair that is new.
    pub async fn keep_up(self) {
        let (mut taken, mut seen) = (self.0.began_with, self.0.began_with);
        loop {
            sleep(LOOK_EVERY).await;
            let found = [stamp(&self.0.certificate), stamp(&self.0.key)];
            if found == seen && found != taken {
                taken = found;
                self.take_anew();
            }
            seen = found;
        }
    }

    fn take_anew(&self) {
        let Inner { certificate, key, world, current, meters, .. } = &*self.0;
        match Certificate::read(certificate, key) {
            Ok(read) => {
                meters.taken.inc();
                meters.ends_at.set(seconds(&read));
                info!(names = read.names.join(", "), not_after = %read.not_after, "A new certificate is served");
                tell_age(&read, world);
                current.0.store(read.served);
            }
            Err(unusable) => {
                meters.refused.inc();
                error!(%unusable, "The new certificate cannot be used; the one before is served until the files are mended");
            }
        }
    }

    /// Shakes hands on a connection, if that is done in time.
    pub(crate) async fn begin(&self, stream: TcpStream, within: Duration) -> Begun {
        let meters = &self.0.meters;
        let shaken = timeout(within, async {
            let mut first = [0];
            if stream.peek(&mut first).await? == 1 && first[0] != HAND_SHAKE {
                return Ok(Begun::Plain(stream));
            }
            let stream = TlsAcceptor::from(self.0.config.clone()).accept(stream).await?;
            Ok::<_, io::Error>(Begun::Tls(Box::new(stream)))
        });
        match shaken.await {
            Ok(Ok(begun)) => {
                if let Begun::Tls(_) = begun { &meters.completed } else { &meters.plain }.inc();
                begun
            }
            Ok(Err(fault)) => {
                meters.failed.inc();
                debug!(%fault, "a TLS hand-shake failed");
                Begun::Nothing
            }
            Err(_) => {
                meters.late.inc();
                debug!("a TLS hand-shake took too long");
                Begun::Nothing
            }
        }
    }
}

/// What is agreed on in a hand-shake.
fn config(current: Arc<Current>) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .expect("ring knows both")
        .with_no_client_auth()
        .with_cert_resolver(current);
    // The one version of HTTP that the server speaks.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Warns of a certificate that nobody accepts, or soon nobody will.
fn tell_age(read: &Certificate, world: &World) {
    let now = world.now();
    if read.not_after <= now {
        warn!(not_after = %read.not_after, "The certificate has expired, and clients refuse it: renew it");
    } else if read.not_before > now {
        warn!(not_before = %read.not_before, "The certificate is not valid yet: clients refuse it until then");
    }
}

#[expect(clippy::cast_precision_loss, reason = "a second more or less does not matter, nor will it for ages")]
fn seconds(read: &Certificate) -> f64 {
    (read.not_after.micros() / 1_000_000) as f64
}

/// Follows links, so that a pair that is changed by turning a link to another folder is seen.
fn stamp(path: &PathBuf) -> Option<(u64, u64, i64, i64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.ino(), file.size(), file.ctime(), file.ctime_nsec()))
}
