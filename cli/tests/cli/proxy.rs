//! Stands between the program and a server: cuts, delays, hangs, or answers itself.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

/// Passes connections on to a port, and cuts each when it has brought this many bytes to the client.
pub(crate) fn cutting_proxy(to: u16, most: u64) -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let cuts = Arc::new(AtomicU64::new(0));
    let counted = cuts.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
            let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from_client, &mut to_server);
                let _ = to_server.shutdown(Shutdown::Both);
            });
            let counted = counted.clone();
            std::thread::spawn(move || {
                let brought = std::io::copy(&mut (&server).take(most), &mut (&client)).unwrap_or_default();
                counted.fetch_add(u64::from(brought == most), Ordering::Relaxed);
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
            });
        }
    });
    (port, cuts)
}

/// Passes connections on to a port, and every byte this much later, in both directions.
pub(crate) fn slow_proxy(to: u16, delay: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server.try_clone().unwrap(), client.try_clone().unwrap()),
            ] {
                let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
                std::thread::spawn(move || {
                    let mut buffer = [0; 64 * 1024];
                    while let Ok(length @ 1..) = from.read(&mut buffer) {
                        let _ = sender.send((Instant::now() + delay, buffer[..length].to_vec()));
                    }
                });
                std::thread::spawn(move || {
                    for (due, bytes) in receiver {
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                        let _ = to.write_all(&bytes);
                    }
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    port
}

/// A server that takes requests and never answers. The receiver gets a message for each.
pub(crate) fn hanging() -> (String, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 1024]);
            let _ = sender.send(());
            kept.push(client);
        }
    });
    (endpoint, receiver)
}

/// A server that gives these answers to one request each, and the heads of those requests.
pub(crate) fn canned(answers: Vec<(u16, String)>) -> (String, Arc<Mutex<Vec<String>>>) {
    canned_with_headers(answers.into_iter().map(|(status, body)| (status, String::new(), body)).collect())
}

/// A server that gives these answers, each with a status, headers that end in a line end each, and a body.
pub(crate) fn canned_with_headers(answers: Vec<(u16, String, String)>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    std::thread::spawn(move || {
        for (status, headers, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.lines().next())
                .map_or(0, |length| length.parse().unwrap());
            stream.read_exact(&mut vec![0; length]).unwrap();
            seen.lock().unwrap().push(head);
            if status > 0 {
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}Connection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    (endpoint, heads)
}
