//! Listens on sockets, and serves HTTP there.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tower_http::timeout::RequestBodyTimeoutLayer;

/// The number of times that another free port is tried, when port 0 was asked for and the one that IPv4 gave is taken on IPv6.
const ATTEMPTS: u32 = 10;

/// The pause after a connection could not be accepted, when the process has as many files open as it may have.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

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

    /// Serves a router on all sockets until `stop` is cancelled, and then until the running requests have ended. A client that leaves a
    /// request unfinished, or a connection unused, for `timeout` is disconnected.
    pub(crate) fn serve(self, router: &Router, timeout: Duration, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
        let router = router.clone().layer(RequestBodyTimeoutLayer::new(timeout));
        self.sockets.into_iter().map(|socket| serve(socket, router.clone(), timeout, stop.clone())).collect()
    }
}

fn serve(listener: TcpListener, router: Router, timeout: Duration, stop: CancellationToken) -> JoinHandle<()> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(timeout);
    tokio::spawn(async move {
        let open = TaskTracker::new();
        loop {
            let (socket, peer) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                        continue;
                    }
                },
                () = stop.cancelled() => break,
            };
            // A small answer is sent at once and does not wait for more bytes.
            let _ = socket.set_nodelay(true);
            let (router, stop) = (router.clone(), stop.clone());
            let answer = service_fn(move |request: Request<Incoming>| {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(ConnectInfo(peer));
                router.clone().oneshot(request)
            });
            let connection = http.serve_connection(TokioIo::new(socket), answer).with_upgrades();
            open.spawn(async move {
                tokio::pin!(connection);
                let ended = tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = stop.cancelled() => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                };
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
            });
        }
        open.close();
        open.wait().await;
    })
}
