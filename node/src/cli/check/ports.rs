//! Ports: free, or held by the node that runs on the same data folder, which may have other settings.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::net::UnixStream,
};

use serde_json::Value;

use crate::{
    cli::global::{DataFolder, Global},
    config::{Config, Transport},
};

/// Where the node that runs on the data folder listens: for others, and for tools. `None` if none runs.
fn running(global: &Global, data: &DataFolder) -> Option<(Vec<String>, Vec<String>)> {
    let status = global.client(data).and_then(|client| client.get("/api/v1/status")).ok()?;
    let texts = |path: &str| -> Vec<&str> {
        let list = status.pointer(path).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).collect()
    };
    let network = texts("/node/listening");
    let network = network.iter().map(|text| text.split_once("/p2p/").map_or(*text, |(address, _)| address));
    let api = texts("/api");
    let api = api.iter().map(|text| text.strip_prefix("http://").unwrap_or(text));
    Some((network.map(str::to_owned).collect(), api.map(str::to_owned).collect()))
}

/// Ports that are free or held by the node itself. A node that runs with others than the file says has not read it.
pub(super) fn ports(
    config: &Config,
    global: &Global,
    data: &DataFolder,
) -> (&'static str, anyhow::Result<String>) {
    let is_held = UnixStream::connect(config.api_socket()).is_ok();
    let running = if is_held { running(global, data) } else { None };
    let (network, api) = running.clone().unwrap_or_default();
    if is_held && running.is_none() {
        return ("ok", Ok("held by the node that runs, which does not say which it has".to_owned()));
    }
    let mut others = Vec::new();
    let listen =
        config.network.listen.iter().filter_map(|address| Some((address.socket()?, address.to_string())));
    let wanted = listen.map(|(place, name)| (place, name, "network.listen")).chain([(
        (Transport::Tcp, config.api.listen),
        config.api.listen.to_string(),
        "api.listen",
    )]);
    for ((transport, socket), name, key) in wanted {
        let held = if key == "api.listen" { &api } else { &network };
        // Any port is one the node chose; an address for every interface is told as each of them.
        let is_any = socket.port() == 0 || socket.ip().is_unspecified() && holds_port(held, socket.port());
        if is_held && (is_any && !held.is_empty() || held.contains(&name)) {
            continue;
        }
        if let Err(error) = bindable(transport, socket, &name, key) {
            return ("WRONG", Err(error));
        }
        others.push(name);
    }
    if config.network.listen.is_empty() && !network.is_empty() {
        others.push("none for others".to_owned());
    }
    let shown: Vec<String> = config.network.listen.iter().map(ToString::to_string).collect();
    let shown = if shown.is_empty() { "none for others, it only dials".to_owned() } else { shown.join(", ") };
    match (is_held, others.is_empty()) {
        (false, _) => ("ok", Ok(format!("free: {shown}; API {}", config.api.listen))),
        (true, true) => ("ok", Ok("held by the node that runs".to_owned())),
        (true, false) => (
            "NOTE",
            Ok(format!(
                "a node runs here with other settings: it listens on {}; API {}. Restart it to have {}",
                if network.is_empty() { "nothing for others".to_owned() } else { network.join(", ") },
                api.join(", "),
                others.join(", ")
            )),
        ),
    }
}

/// Whether one of these addresses has that port.
fn holds_port(addresses: &[String], port: u16) -> bool {
    let port = port.to_string();
    addresses.iter().any(|address| address.split(['/', ':']).any(|part| part == port))
}

fn bindable(transport: Transport, socket: SocketAddr, name: &str, key: &str) -> anyhow::Result<()> {
    let bound = match transport {
        Transport::Tcp => TcpListener::bind(socket).map(drop),
        Transport::Udp => UdpSocket::bind(socket).map(drop),
    };
    bound.map_err(|error| {
        anyhow::anyhow!(
            "{name} cannot be had: {error}; stop what listens there (`ss -tulpn` shows it), or mend {key}"
        )
    })
}
