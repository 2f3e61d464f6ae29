//! Puts the address rule where no name can slip past it: into the resolver whose answer is connected to.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;
use url::{Host, Url};

use crate::address::EgressPolicy;
use crate::measure::resolving;

/// Resolves by the system and drops the addresses that the policy refuses.
pub(crate) struct GuardedResolver {
    pub(crate) policy: Arc<EgressPolicy>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.policy);
        Box::pin(async move {
            // Port 0 stands for the port of the URL.
            let found: Vec<SocketAddr> = resolving(lookup_host((name.as_str(), 0))).await?.collect();
            let named_any = !found.is_empty();
            let permitted: Vec<SocketAddr> = found.into_iter().filter(|found| policy.permits(found.ip())).collect();
            if permitted.is_empty() && named_any {
                return Err(Refused.into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

/// Judges a host that is an address already: such a host is connected to without asking the resolver.
pub(crate) fn permits_literal(policy: &EgressPolicy, url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => policy.permits(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => policy.permits(IpAddr::V6(address)),
        Some(Host::Domain(_)) | None => true,
    }
}

/// The resolver's word for "there are addresses, and none of them may be reached"; found again in the client's error.
#[derive(Debug)]
pub(crate) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("every address of the name is refused")
    }
}

impl Error for Refused {}
