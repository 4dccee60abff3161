//! TLS as the client speaks it: whom it trusts, and why it does not.

use std::error::Error;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, InvalidMessage, RootCertStore, version};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service;

use crate::client::NoAnswer;
use crate::tls::said;

/// The authorities by whose word a client knows whom it asks over `https`.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// None for those that the system trusts.
    roots: Option<Arc<RootCertStore>>,
}

impl Trust {
    /// The authorities in a file of PEM, in place of those that the system trusts.
    pub fn of_file(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let mut roots = RootCertStore::empty();
        let authorities = CertificateDer::pem_file_iter(path).map_err(|fault| format!("{shown} {}", said(&fault)))?;
        for authority in authorities {
            let authority = authority.map_err(|fault| format!("{shown} {}", said(&fault)))?;
            roots.add(authority).map_err(|fault| format!("a certificate in {shown} cannot be read: {fault}"))?;
        }
        if roots.is_empty() {
            return Err(format!("{shown} holds no certificate; it should hold PEM, one after another"));
        }
        Ok(Self { roots: Some(Arc::new(roots)) })
    }

    /// The authorities, those of the system where no others were named.
    fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone().unwrap_or_else(|| {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            for fault in found.errors {
                tracing::debug!(%fault, "some authorities of the system cannot be read");
            }
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                tracing::warn!(
                    "The system trusts no certificates, so nobody is asked over TLS: install ca-certificates, or name a \
                     file of them in SSL_CERT_FILE"
                );
            }
            Arc::new(roots)
        })
    }

    /// How TLS is spoken with those who are known by these authorities.
    pub(crate) fn tls(&self) -> ClientConfig {
        speak(self.roots())
    }

    /// Connects to whoever is asked; with TLS where `https` is said.
    pub(crate) fn connector(&self, is_https: bool, within: Duration) -> Connector {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(within));
        let tls = if is_https { self.tls() } else { speak(Arc::new(RootCertStore::empty())) };
        let either = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        Connector { either: either.enable_http1().wrap_connector(tcp), within }
    }
}

fn speak(roots: Arc<RootCertStore>) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .expect("ring knows both")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Connects within a time, the hand-shake included.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    either: HttpsConnector<HttpConnector>,
    within: Duration,
}

type Fault = Box<dyn Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Fault>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.either.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        // The hand-shake comes after the connection, which has its own time.
        let (connected, within) = (self.either.call(to), self.within * 2);
        Box::pin(async move { timeout(within, connected).await.unwrap_or_else(|late| Err(late.into())) })
    }
}

/// Why nobody was reached, where TLS is the reason; nothing has been asked then.
pub(crate) fn not_trusted(fault: &(dyn Error + 'static)) -> Option<NoAnswer> {
    of_tls(fault).map(told)
}

/// What TLS says in a chain of errors; what an I/O error was made of is none of its sources.
fn of_tls<'a>(fault: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let inner = fault.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let inner = inner.map(|inner| -> &'a (dyn Error + 'static) { inner });
    let found = fault.downcast_ref().or_else(|| inner.and_then(of_tls));
    found.or_else(|| fault.source().and_then(of_tls))
}

fn told(fault: &rustls::Error) -> NoAnswer {
    use CertificateError::{BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext};
    use CertificateError::{NotValidYet, NotValidYetContext, UnknownIssuer};
    let rustls::Error::InvalidCertificate(flaw) = fault else {
        return NoAnswer::NotConnected(match fault {
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
                "it does not speak TLS; if it should not, begin its address with http://".to_owned()
            }
            other => other.to_string(),
        });
    };
    NoAnswer::NotTrusted(match flaw {
        // The second where an authority of the same name is trusted, and another has signed.
        UnknownIssuer | BadSignature => {
            "nobody whom this program trusts has signed its certificate; name the file with the \
                          certificate of who has, as in BANYAN_CA_FILE=authority.pem"
                .to_owned()
        }
        Expired | ExpiredContext { .. } => "its certificate has expired; whoever runs it has to renew it".to_owned(),
        NotValidYet | NotValidYetContext { .. } => {
            "its certificate is not valid yet; see whether the clocks here and there are right".to_owned()
        }
        NotValidForName => "its certificate is for other names; ask it by one of them".to_owned(),
        NotValidForNameContext { presented, .. } => {
            format!("its certificate is for {}; ask it by such a name", shown(presented))
        }
        other => format!("its certificate cannot be accepted: {other:?}"),
    })
}

/// Names as somebody would write them: rustls shows each as `DnsName("shop.example")`.
fn shown(presented: &[String]) -> String {
    let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
    presented.iter().map(bare).collect::<Vec<_>>().join(", ")
}
