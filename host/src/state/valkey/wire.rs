//! The connection to the engine: one server, a cluster, or the present master that sentinels name.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo as _, RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind, TlsCertificates, TlsMode,
    Value,
};

use crate::config::{State, StatePlace, StateServer, StateServers};

/// The time for connecting, which no request waits for.
const CONNECTING: Duration = Duration::from_secs(2);

/// A script with its hash, by which an engine knows it.
#[derive(Debug)]
pub struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    /// The script of this text.
    pub fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }
}

/// An open connection. Its clones share it, and what is asked at the same time.
#[derive(Clone)]
pub enum Wire {
    /// To one server.
    One(MultiplexedConnection),
    /// To all of a cluster.
    Cluster(ClusterConnection),
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    /// Connects, and logs in.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub async fn connect(state: &State) -> RedisResult<Self> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECTING)).set_response_timeout(None);
        let certificates = certificates(state)?;
        match &state.servers {
            StateServers::One(server) => {
                let info = info(state, server)?;
                let client = match certificates {
                    Some(certificates) if server.tls => Client::build_with_tls(info, certificates)?,
                    _ => Client::open(info)?,
                };
                Ok(Self::One(client.get_multiplexed_async_connection_with_config(&config).await?))
            }
            StateServers::Cluster(servers) => {
                let infos = servers.iter().map(|server| info(state, server)).collect::<RedisResult<Vec<_>>>()?;
                let mut builder = ClusterClientBuilder::new(infos).retries(1).connection_timeout(CONNECTING);
                if servers.iter().any(|server| server.tls) {
                    builder = builder.tls(TlsMode::Secure);
                    if let Some(certificates) = certificates {
                        builder = builder.certs(certificates);
                    }
                }
                Ok(Self::Cluster(builder.build()?.get_async_connection().await?))
            }
            StateServers::Sentinel { name, servers } => {
                let mut builder =
                    SentinelClientBuilder::new(servers.iter().map(address), name, SentinelServerType::Master)?;
                if let Some(username) = &state.username {
                    builder = builder.set_client_to_redis_username(username);
                }
                if let Some(password) = &state.password {
                    builder = builder.set_client_to_redis_password(password.reveal());
                }
                if servers.iter().any(|server| server.tls) {
                    builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
                    builder = builder.set_client_to_sentinel_tls_mode(TlsMode::Secure);
                    if let Some(certificates) = certificates {
                        builder = builder.set_client_to_redis_certificates(certificates.clone());
                        builder = builder.set_client_to_sentinel_certificates(certificates);
                    }
                }
                let mut client = builder.build()?;
                Ok(Self::One(client.get_async_connection_with_config(&config).await?))
            }
        }
    }

    /// Sends a command and waits for its answer, for as long as that takes.
    ///
    /// # Errors
    ///
    /// What the engine or the client says.
    pub async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(command).await,
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        }
    }

    /// Runs a script by its hash, or with its text where the engine does not know it yet.
    ///
    /// # Errors
    ///
    /// As [`Wire::ask`].
    pub async fn run<A: redis::ToRedisArgs>(
        &mut self,
        script: &Script,
        keys: &[String],
        arguments: &[A],
    ) -> RedisResult<Value> {
        let command = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
            command
        };
        match self.ask(&command("EVALSHA", &script.hash)).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.ask(&command("EVAL", script.text)).await
            }
            // In a pipeline errors come as values.
            Ok(Value::ServerError(error)) if error.kind() == Some(ServerErrorKind::NoScript) => {
                self.ask(&command("EVAL", script.text)).await
            }
            answer => answer,
        }
    }
}

fn address(server: &StateServer) -> ConnectionAddr {
    match &server.place {
        StatePlace::Socket(path) => ConnectionAddr::Unix(path.clone()),
        StatePlace::Tcp(host, port) if server.tls => {
            ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
        }
        StatePlace::Tcp(host, port) => ConnectionAddr::Tcp(host.clone(), *port),
    }
}

fn info(state: &State, server: &StateServer) -> RedisResult<ConnectionInfo> {
    let mut login = RedisConnectionInfo::default().set_db(server.database.into());
    if let Some(username) = &state.username {
        login = login.set_username(username);
    }
    if let Some(password) = &state.password {
        login = login.set_password(password.reveal());
    }
    Ok(address(server).into_connection_info()?.set_redis_settings(login))
}

/// The certificates, read anew with each connection, as they may have been replaced.
fn certificates(state: &State) -> RedisResult<Option<TlsCertificates>> {
    let tls = &state.tls;
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| {
            RedisError::from((
                ErrorKind::InvalidClientConfig,
                "a certificate cannot be read",
                format!("{}: {error}", path.display()),
            ))
        })
    };
    let client_tls = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
        _ => None,
    };
    let root_cert = tls.ca.as_deref().map(read).transpose()?;
    Ok((client_tls.is_some() || root_cert.is_some()).then_some(TlsCertificates { client_tls, root_cert }))
}
