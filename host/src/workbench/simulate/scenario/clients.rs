//! The clients of a scenario: some of those that its proxy's configuration names, without their keys.

use crate::config::{Config, Node, NodeKind, Reader, Section, nearest};

/// Gives each client without a key one: nobody shows any, as the traffic says who asks.
pub(super) fn give_keys(proxy: &mut Node) {
    let clients = proxy.entry_of("clients").and_then(|clients| clients.entry_of("keys"));
    let Some(Node { kind: NodeKind::List(keys), .. }) = clients else { return };
    for (number, key) in keys.iter_mut().enumerate() {
        if ["hash", "key", "key_file"].iter().all(|name| key.get(name).is_none())
            && let Some(missing) = key.entry("key")
        {
            *missing = Node::text(format!("sk-simulated-{number}"));
        }
    }
}

/// Checks that the clients of the traffic are some of the configuration.
pub(super) fn check(reader: &mut Reader<'_>, top: &Section<'_>, config: &Config) {
    let names: Vec<&str> = config.clients.keys.iter().map(|key| key.name.as_str()).collect();
    let traffic = reader.section(top, "traffic", None);
    let bursts: Vec<_> = reader.list(&traffic, "bursts");
    let bursts: Vec<_> =
        bursts.into_iter().filter_map(|(at, node)| reader.mapping(Some(node), at, None).ok()).collect();
    for section in bursts.iter().chain([&traffic]) {
        let Some((at, node)) = section.get("client") else { continue };
        let Some(name) = node.as_text().filter(|name| !names.contains(name)) else { continue };
        let help = match nearest(name, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => {
                "name it under `proxy.clients.keys`: [{name: search, limits: {rpm: 60}}]".to_owned()
            }
            None => format!("those are: {}", names.join(", ")),
        };
        reader.findings.problem(&at, "is not one of the clients under `proxy.clients.keys`", Some(help));
    }
}
