//! Listening sockets, and the HTTP servers behind them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result};
use axum::Router;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// How often another free port is tried, when port 0 was asked for and the one that IPv4 gave is taken on IPv6.
const ATTEMPTS: u32 = 10;

/// Sockets that listen on one port of both loopback addresses, because clients take `localhost` for either.
pub(crate) struct Listeners {
    pub(crate) address: SocketAddr,
    sockets: Vec<TcpListener>,
}

impl Listeners {
    /// Binds a port, 0 for any free one, on 127.0.0.1 and, where the machine has IPv6, on ::1.
    ///
    /// # Errors
    /// Names the port and the setting that chooses another.
    pub(crate) async fn bind(port: u16, setting: &str) -> Result<Self> {
        let cannot = |address: &str, port: u16| {
            format!(
                "port {port} on {address} cannot be used; stop the program that has it, or set {setting} to another port"
            )
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.with_context(|| cannot("127.0.0.1", port))?;
            let address = v4.local_addr()?;
            match TcpListener::bind((Ipv6Addr::LOCALHOST, address.port())).await {
                Ok(v6) => return Ok(Self { address, sockets: vec![v4, v6] }),
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    if port != 0 || attempt == ATTEMPTS {
                        return Err(error).with_context(|| cannot("::1", address.port()));
                    }
                }
                // The machine has no IPv6.
                Err(_) => return Ok(Self { address, sockets: vec![v4] }),
            }
        }
    }

    /// Binds the same port on another address of this machine.
    ///
    /// # Errors
    /// Names the address.
    pub(crate) async fn add(&mut self, address: IpAddr) -> Result<()> {
        if address.is_loopback() {
            return Ok(());
        }
        let port = self.address.port();
        let socket = TcpListener::bind((address, port))
            .await
            .with_context(|| format!("port {port} on {address} cannot be used; is it an address of this machine?"))?;
        self.sockets.push(socket);
        Ok(())
    }

    /// Serves a router on all sockets until `stop` is cancelled, and then until the running requests have ended.
    pub(crate) fn serve(self, router: &Router, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
        self.sockets.into_iter().map(|socket| serve(socket, router.clone(), stop.clone())).collect()
    }
}

fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> JoinHandle<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move {
        let served = axum::serve(
            axum::serve::ListenerExt::tap_io(listener, |stream| {
                // A small answer is sent at once.
                let _ = stream.set_nodelay(true);
            }),
            service,
        )
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await;
        if let Err(error) = served {
            tracing::error!(%error, "a server stopped");
        }
    })
}
