//! The certificate with which the server would speak TLS.

use std::net::IpAddr;
use std::time::Duration;

use settings::Settings;
use web::Certificate;
use world::{Moment, World};

use super::Check;
use crate::run::Checked;

/// Whoever renews a certificate by hand needs so long.
const SOON: Duration = Duration::from_secs(21 * 24 * 60 * 60);

/// Looks at the certificate that was chosen, and at what is served without one.
pub(super) fn look(settings: &Settings, checked: &Checked) -> Check {
    let address = checked.address.ip().to_canonical();
    let Some((certificate, key)) = &checked.pair else {
        if address.is_loopback() {
            return Check::ok("certificate", "no TLS is spoken, and only this machine is served");
        }
        let found = format!("no TLS is spoken, and others reach {} ({})", checked.address, settings.shown("listen"));
        let advice = "name a certificate with http.tls.certificate and http.tls.key, or let a proxy that speaks TLS stand before it";
        return Check::warn("certificate", found, advice);
    };
    // It was read before, when it was looked whether the settings can be.
    match Certificate::read(certificate, key) {
        Ok(read) => judge(
            &Facts { names: read.names, from: read.not_before, until: read.not_after },
            address,
            World::real().now(),
        ),
        Err(fault) => Check::bad("certificate", fault.to_string(), "mend the file, or name another"),
    }
}

/// What a certificate says of itself.
struct Facts {
    names: Vec<String>,
    from: Moment,
    until: Moment,
}

fn judge(facts: &Facts, address: IpAddr, now: Moment) -> Check {
    let Facts { names, from, until } = facts;
    let (shown, until_shown) = (names.join(", "), until.to_string());
    let until_shown = until_shown.split('T').next().unwrap_or_default();
    if names.is_empty() {
        let found = "it names no host and no address; the common name is read by no client of today";
        return Check::bad("certificate", found, "have it issued with subject alternative names");
    }
    if *until <= now {
        let found = format!("that of {shown} has expired on {until_shown}, and clients refuse it");
        return Check::bad("certificate", found, "renew it; a running server takes the new files by itself");
    }
    if *from > now {
        let found = format!("that of {shown} is valid only from {from}");
        return Check::bad("certificate", found, "wait until then, or see whether the clock here is right");
    }
    let left = until.since(now);
    let days = left.as_secs() / (24 * 60 * 60);
    let found = format!("for {shown}, until {until_shown} ({days} days); the key is its own");
    if left < SOON {
        return Check::warn("certificate", found, "renew it; a running server takes the new files by itself");
    }
    if !address.is_unspecified() && !names.iter().any(|name| name.parse() == Ok(address)) && names_no_host(names) {
        let advice = "listen on one of its addresses, or have it issued for this one";
        return Check::warn("certificate", format!("{found}; {address} is none of its addresses"), advice);
    }
    Check::ok("certificate", found)
}

/// Whether it is for addresses alone; of a host it is not known here to which address its name leads.
fn names_no_host(names: &[String]) -> bool {
    names.iter().all(|name| name.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use world::World;

    use super::{Facts, judge};
    use crate::doctor::Grade;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_certificate_that_ends_soon_is_told_before_it_has_ended() {
        let now = World::simulated(1).now();
        let grade =
            |from, until| judge(&Facts { names: vec!["shop.example".to_owned()], from, until }, HERE, now).grade;
        assert_eq!(grade(now - DAY, now + DAY * 21), Grade::Ok);
        assert_eq!(grade(now - DAY, now + DAY * 20), Grade::Warn);
        assert_eq!(grade(now - DAY, now), Grade::Bad);
        assert_eq!(grade(now + DAY, now + DAY * 90), Grade::Bad);
    }

    #[test]
    fn a_certificate_without_a_name_is_bad_and_one_for_other_addresses_is_told() {
        let now = World::simulated(1).now();
        let grade = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            judge(&Facts { names, from: now - DAY, until: now + DAY * 90 }, HERE, now).grade
        };
        assert_eq!(grade(&[]), Grade::Bad);
        assert_eq!(grade(&["127.0.0.1"]), Grade::Ok);
        assert_eq!(grade(&["10.0.0.1"]), Grade::Warn);
        assert_eq!(grade(&["10.0.0.1", "shop.example"]), Grade::Ok);
    }
}
