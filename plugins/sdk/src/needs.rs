/// What a plugin wants. It grants nothing, and nothing is granted beyond it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Needs {
    /// Hosts it sends requests to.
    pub http_hosts: Vec<String>,
    /// Names of secrets it puts into requests.
    pub secrets: Vec<String>,
    /// Configuration values it reads.
    pub config_keys: Vec<String>,
    /// Key-value namespaces it reads and writes.
    pub kv: Vec<String>,
    /// A clock that moves.
    pub clock: bool,
    /// Chance that nobody can foretell.
    pub random: bool,
}
