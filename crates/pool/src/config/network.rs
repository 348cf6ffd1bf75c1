use std::fmt;
use std::net::IpAddr;

use figment::value::Value;
use ipnet::IpNet;

use super::given::{Complaint, FromValue, schema, text};

/// A range of addresses, such as `10.1.0.0/16`, or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Whether the address lies in it. An IPv4 address that is written as an IPv6 one counts as what
    /// it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromValue for Network {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        const FORMS: &str = "write address/bits, such as 10.1.0.0/16 or fd00::/8, or one address";
        let given = text(value).ok_or_else(|| Complaint::not_kind(value, "a network", FORMS))?;
        let network = match given.parse::<IpAddr>() {
            Ok(address) => Some(IpNet::from(address)),
            Err(_) => given.parse::<IpNet>().ok(),
        };
        let network = network.ok_or_else(|| Complaint::not(value, "a network", FORMS))?;
        if network.network() != network.addr() {
            let what = format!("is {network}, whose address has bits beyond its network's");
            return Err(Complaint::new(what, format!("write {}", network.trunc())));
        }
        Ok(Self(network))
    }
}

schema!(Network, { "type": "string", "pattern": "^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$" });

#[cfg(test)]
mod tests {
    use super::*;

    fn network(given: &str) -> Result<Network, Complaint> {
        Network::from_value(&Value::from(given))
    }

    #[test]
    fn a_network_holds_its_addresses() {
        let intranet = network("10.1.0.0/16").expect("a network");
        for inside in ["10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3"] {
            assert!(intranet.contains(inside.parse().expect(inside)), "{inside}");
        }
        for outside in ["10.2.0.0", "::10.1.2.3", "fd00::1"] {
            assert!(
                !intranet.contains(outside.parse().expect(outside)),
                "{outside}"
            );
        }
        let single = network("::1").expect("an address");
        assert!(single.contains("::1".parse().expect("an address")));
        assert_eq!(single.to_string(), "::1/128");
    }

    #[test]
    fn what_is_no_network() {
        for wrong in ["", "intranet", "10.1.0.0/33", "10.1.0.0/", "10.1/16"] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
        let complaint = network("10.1.2.3/16").expect_err("bits beyond the network's");
        assert_eq!(complaint.mend, "write 10.1.0.0/16");
    }
}
