//! What a URL says of a server: where it is, and how the connection to it is protected.
//!
//! | `sslmode` | TLS is spoken | with whom |
//! |---|---|---|
//! | `disable`, or nothing is said | never | |
//! | `prefer` | where the server speaks it | anybody |
//! | `require` | always | anybody; with `sslrootcert` as `verify-ca` |
//! | `verify-ca` | always | whose certificate an authority has given |
//! | `verify-full` | always | the same, and it is for the host that the URL names |
//!
//! `sslrootcert` is a file with the authorities (PEM), or `system`, which stands where nothing is said; `sslcert` and
//! `sslkey` are files with what this program shows of itself, where the server asks for that.
//! Source: <https://www.postgresql.org/docs/current/libpq-ssl.html>, but that nothing is `prefer` by itself: TLS that
//! trusts anybody costs time and keeps nobody out.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::errors::explain;
use super::{LONGEST_CONNECT, LONGEST_TRIP, start};
use crate::Failure;

const NO_URL: &str = "it cannot be read as a URL of PostgreSQL";

/// Where a server is, and how it is spoken to.
pub(crate) struct Address {
    /// One for each host that is named; the first that takes what is written is the one that is asked.
    hosts: Vec<Config>,
    /// None where no TLS is spoken.
    tls: Option<MakeRustlsConnect>,
}

impl Address {
    /// Reads a URL, and the files that it names; or says why that cannot be, and nothing of a password.
    pub(crate) fn read(url: &str) -> Result<Self, String> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(NO_URL.to_owned());
        }
        let (url, protection) = Protection::split_off(url)?;
        let hosts = each_host(&url).iter().map(|url| protection.host(url)).collect::<Result<_, _>>()?;
        Ok(Self { hosts, tls: protection.tls()?.map(MakeRustlsConnect::new) })
    }

    /// What connections are opened with, and who says so.
    pub(super) fn open_with(&mut self, options: &str, application: &str) {
        for host in &mut self.hosts {
            host.options(options).application_name(application);
        }
    }

    /// Opens a connection to the first of the hosts that answers and takes what is written.
    pub(super) async fn connect(&self) -> Result<Client, Failure> {
        let mut why = Vec::new();
        for host in &self.hosts {
            match timeout(LONGEST_CONNECT, self.connect_to(host)).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(error)) => why.push(format!("{}: {}", shown(host), told(&error))),
                Err(_) => why.push(format!("{}: it does not answer", shown(host))),
            }
        }
        Err(Failure::Unavailable(why.join("; ")))
    }

    async fn connect_to(&self, host: &Config) -> Result<Client, tokio_postgres::Error> {
        let Some(tls) = &self.tls else {
            let (client, connection) = host.connect(NoTls).await?;
            drop(start(connection));
            return Ok(client);
        };
        let (client, connection) = host.connect(tls.clone()).await?;
        drop(start(connection));
        Ok(client)
    }

    /// The servers and the database, without a password.
    pub(crate) fn shown(&self) -> String {
        let database = self.hosts.first().and_then(|host| host.get_dbname().or(host.get_user())).unwrap_or_default();
        format!("{}/{database}", self.hosts.iter().map(shown).collect::<Vec<_>>().join(","))
    }

    /// Whether a host is another machine, and no TLS is spoken: what is said can be read on the way.
    pub(crate) fn is_exposed(&self) -> bool {
        self.tls.is_none() && !self.hosts.iter().all(is_here)
    }
}

/// Why there is no connection, and what to do where it is for want of trust.
fn told(error: &tokio_postgres::Error) -> String {
    use CertificateError::{BadSignature, NotValidForName, NotValidForNameContext, UnknownIssuer};
    let fault = error.source().and_then(|fault| fault.downcast_ref::<io::Error>()).and_then(io::Error::get_ref);
    match fault.and_then(|fault| fault.downcast_ref::<rustls::Error>()) {
        // The second where an authority of the same name is trusted, and another has signed.
        Some(rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature)) => {
            "nobody whom this program trusts has signed its certificate; name the file with the certificate of who has in \
             the URL, as in sslrootcert=authority.pem"
                .to_owned()
        }
        Some(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
            "its certificate is for other names; name the host by one of them, or take any with sslmode=verify-ca".to_owned()
        }
        _ => explain(error),
    }
}

/// A URL up to its hosts, and from there on. A password may hold what has a meaning behind it.
fn at_hosts(url: &str) -> (&str, &str) {
    let user = url.find("://").map_or(0, |scheme| scheme + "://".len());
    url.split_at(url[user..].find('@').map_or(user, |at| user + at + 1))
}

/// The same URL for each of the hosts that it names, `postgres://user@one:5432,two:5432/database`.
fn each_host(url: &str) -> Vec<String> {
    let (user, rest) = at_hosts(url);
    let (hosts, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    hosts.split(',').map(|host| format!("{user}{host}{path}")).collect()
}

/// The host of a configuration that names one, with its port.
fn shown(config: &Config) -> String {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
    };
    format!("{host}:{port}")
}

/// Whether the host is this machine.
fn is_here(config: &Config) -> bool {
    if let Some(address) = config.get_hostaddrs().first() {
        return address.is_loopback();
    }
    match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback()),
        #[cfg(unix)]
        Some(Host::Unix(_)) => true,
        None => false,
    }
}

/// How far the server is trusted with which TLS is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// What a URL says of TLS.
#[derive(Debug, Default)]
struct Protection {
    mode: Mode,
    authorities: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Protection {
    /// The URL without what it says of TLS, and that.
    fn split_off(url: &str) -> Result<(String, Self), String> {
        let mut protection = Self::default();
        let (user, rest) = at_hosts(url);
        let Some((place, query)) = rest.split_once('?') else { return Ok((url.to_owned(), protection)) };
        let mut others = Vec::new();
        for parameter in query.split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "sslmode" => protection.mode = Mode::read(&value)?,
                "sslrootcert" => protection.authorities = Some(value),
                "sslcert" => protection.certificate = Some(value),
                "sslkey" => protection.key = Some(value),
                _ => others.push(parameter),
            }
        }
        if protection.mode == Mode::Require && protection.authorities.is_some() {
            protection.mode = Mode::VerifyCa;
        }
        let says_more =
            protection.authorities.is_some() || protection.certificate.is_some() || protection.key.is_some();
        if protection.mode == Mode::Disable && says_more {
            return Err("it names files for TLS, which is not spoken: add sslmode=verify-full".to_owned());
        }
        Ok((format!("{user}{place}?{}", others.join("&")), protection))
    }

    /// The one host that a URL names, and how it is spoken to.
    fn host(&self, url: &str) -> Result<Config, String> {
        let mut config: Config = url.parse().map_err(|_| NO_URL.to_owned())?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("it names no host".to_owned());
        }
        let mode = match self.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        };
        config
            .ssl_mode(mode)
            // What cannot be written to is a standby; another host may be the one that can.
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            // A name may stand for two addresses, one of which is dead.
            .connect_timeout(LONGEST_CONNECT / 2)
            .keepalives_idle(Duration::from_secs(10))
            .tcp_user_timeout(LONGEST_TRIP);
        Ok(config)
    }

    /// How TLS is spoken; not at all where that is said.
    fn tls(&self) -> Result<Option<ClientConfig>, String> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match self.mode {
            Mode::Disable => return Ok(None),
            Mode::Prefer | Mode::Require => Arc::new(Lenient { asks: None, provider: provider.clone() }),
            Mode::VerifyCa => Arc::new(Lenient { asks: Some(self.verifier(&provider)?), provider: provider.clone() }),
            Mode::VerifyFull => self.verifier(&provider)?,
        };
        let speaks = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|fault| fault.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else {
            if self.certificate.is_some() || self.key.is_some() {
                return Err("it names one of sslcert and sslkey, which go together".to_owned());
            }
            return Ok(Some(speaks.with_no_client_auth()));
        };
        let key_of = |fault: pem::Error| format!("sslkey {key} cannot be read: {fault}");
        let key = PrivateKeyDer::from_pem_file(Path::new(key)).map_err(key_of)?;
        let shown = speaks.with_client_auth_cert(certificates("sslcert", certificate)?, key);
        shown.map(Some).map_err(|fault| format!("sslcert and sslkey cannot be used: {fault}"))
    }

    /// Trusts the authorities that are named, or those of the system.
    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, String> {
        let mut roots = RootCertStore::empty();
        match self.authorities.as_deref() {
            None | Some("system") => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err("the system trusts no authority: install ca-certificates, or name a file of \
                                authorities with sslrootcert"
                        .to_owned());
                }
            }
            Some(file) => {
                for authority in certificates("sslrootcert", file)? {
                    roots.add(authority).map_err(|fault| format!("sslrootcert {file} cannot be used: {fault}"))?;
                }
            }
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        verifier.map_err(|fault| fault.to_string())
    }
}

impl Mode {
    fn read(text: &str) -> Result<Self, String> {
        Ok(match text {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return Err("its sslmode is none of disable, prefer, require, verify-ca, verify-full".to_owned()),
        })
    }
}

/// The certificates in a file of PEM, one at least.
fn certificates(of: &str, file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(Path::new(file)).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|fault| format!("{of} {file} cannot be read: {fault}"))?;
    if found.is_empty() {
        return Err(format!("{of} {file} holds no certificate; it should hold PEM"));
    }
    Ok(found)
}

/// Trusts anybody, or whoever an authority has given a certificate, for whichever name.
#[derive(Debug)]
struct Lenient {
    asks: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let Some(verifier) = &self.asks else { return Ok(ServerCertVerified::assertion()) };
        match verifier.verify_server_cert(certificate, between, name, ocsp, now) {
            // The name is looked at last.
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            answer => answer,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Mode, Protection};

    #[test]
    fn what_a_url_says_of_tls_is_taken_out_of_it() {
        let split = |url: &str| Protection::split_off(url).expect("it can be read");
        let (url, protection) = split("postgres://a@b/c?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fa%20b");
        assert_eq!((url.as_str(), protection.mode), ("postgres://a@b/c?connect_timeout=3", Mode::VerifyFull));
        assert_eq!(protection.authorities.as_deref(), Some("/a b"));
        assert_eq!(split("postgres://a@b/c").1.mode, Mode::Disable, "as nothing is said");
        assert_eq!(split("postgres://a@b/c?sslmode=require").1.mode, Mode::Require);
        assert_eq!(split("postgres://a@b/c?sslmode=require&sslrootcert=x").1.mode, Mode::VerifyCa);
    }

    #[test]
    fn a_url_that_cannot_be_used_says_why_and_nothing_of_its_password() {
        for (rest, says) in [
            ("?sslmode=sometimes", "none of disable, prefer"),
            ("?sslmode=verify-full&sslrootcert=/nowhere", "sslrootcert /nowhere cannot be read"),
            ("?sslmode=verify-full&sslrootcert=/dev/null", "sslrootcert /dev/null holds no certificate"),
            ("?sslrootcert=/dev/null", "add sslmode=verify-full"),
            ("?sslmode=require&sslcert=/a", "which go together"),
            ("?sslmode=require&sslcert=/a&sslkey=/b", "sslkey /b cannot be read"),
            ("?port=x", "cannot be read as a URL"),
        ] {
            let refused = Address::read(&format!("postgres://a:hunter2@b/c{rest}")).err().expect("it cannot be used");
            assert!(refused.contains(says) && !refused.contains("hunter2"), "{rest}: {refused}");
        }
        let words = "host=b user=a password=hunter2 sslmode=require";
        assert!(
            Address::read(words).err().expect("no URL").contains("cannot be read as a URL"),
            "TLS would be forgotten"
        );
        assert!(Address::read("postgres:///shop").err().expect("no host").contains("names no host"));
    }

    #[test]
    fn a_password_may_hold_what_parts_a_url() {
        let address = Address::read("postgres://a:h/u,n?ter2@one:1,two/c?sslmode=require").expect("it can be read");
        assert_eq!((address.shown().as_str(), address.tls.is_some()), ("one:1,two:5432/c", true));
        assert_eq!(address.hosts[1].get_password(), Some(&b"h/u,n?ter2"[..]));
    }

    #[test]
    fn what_leaves_this_machine_without_tls_can_be_read_on_the_way() {
        for (url, is_exposed) in [
            ("postgres://a@db.example/c", true),
            ("postgres://a@127.0.0.1,10.0.0.1/c", true),
            ("postgres://a@127.0.0.1/c", false),
            ("postgres://a@localhost,[::1]/c", false),
            ("postgres://a@%2Frun%2Fpostgresql/c", false),
            ("postgres://a@db.example/c?sslmode=require", false),
        ] {
            let address = Address::read(url).expect("it can be read");
            assert_eq!(address.is_exposed(), is_exposed, "{url}");
        }
    }
}
