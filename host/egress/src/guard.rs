//! Puts the address rule where no name can slip past it: into the resolver whose answer is connected to.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::address::EgressPolicy;
use crate::error::EgressError;
use crate::measure::resolving;
use crate::ports::other_service;

/// Says which addresses a name has at this moment.
pub(crate) type Names =
    Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> + Send + Sync>;

/// Judges all that the URL itself says of where it leads. A name's addresses are judged when it is resolved.
pub(crate) fn judge(policy: &EgressPolicy, url: &Url, host: &str) -> Result<(), EgressError> {
    let permitted = match url.host() {
        // A host that is an address already is connected to without asking the resolver.
        Some(Host::Ipv4(address)) => policy.permits(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => policy.permits(IpAddr::V6(address)),
        // Where these lead is known (RFC 6761), whatever a name server answers.
        Some(Host::Domain(name)) if is_localhost(name) => LOOPBACK.into_iter().any(|address| policy.permits(address)),
        Some(Host::Domain(_)) | None => true,
    };
    if !permitted {
        return Err(EgressError::RefusedAddress { host: host.to_owned() });
    }
    match url.port_or_known_default().and_then(other_service) {
        Some(service) => Err(EgressError::RefusedPort { host: host.to_owned(), service }),
        None => Ok(()),
    }
}

const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// `url` has made it lower case.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// Asks for the addresses of a name and drops those that the policy refuses, each time anew: the answer that is judged is the
/// one that is connected to.
pub(crate) struct GuardedResolver {
    pub(crate) policy: Arc<EgressPolicy>,
    pub(crate) names: Names,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.policy);
        let lookup = (self.names)(name.as_str().to_owned());
        Box::pin(async move {
            let found = resolving(lookup).await?;
            if found.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
            }
            let permitted: Vec<IpAddr> = found.into_iter().filter(|&address| policy.permits(address)).collect();
            if permitted.is_empty() {
                return Err(Refused.into());
            }
            // Port 0 stands for the port of the URL.
            Ok(Box::new(permitted.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// As the system says: its hosts file, its name servers.
pub(crate) async fn system_names(name: String) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((name, 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
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
