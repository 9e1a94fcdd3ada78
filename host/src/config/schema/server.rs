//! The keys of the listeners, of clients, of the queue and the network, and of the engine that replicas share.

use super::providers::{BUDGET_ROW, LIMITS_ROW};
use super::{Absent, COUNT, Kind, MODELS, PATH, Schema, TEXTS, row};

use Absent::{As, Each, Is, Nothing, Required};

/// A body limit beyond this is a mistake in the unit.
const BODY: Kind = Kind::Integer(1, 1 << 40);
/// Versions of HTTP; 1.1 looks like a number.
const HTTP: Kind = Kind::OneOf(&[Kind::Word(&["auto", "1.1"]), Kind::Number(1.1, 1.1)]);
const PORT: Kind = Kind::Integer(0, u16::MAX as u64);

pub(in crate::config) const SERVER: Schema = Schema::new(
    "`server`",
    &[
        row(
            "host",
            Kind::Text,
            Is("127.0.0.1"),
            "Address or host name to listen on; or a socket in the file system, unix:/run/pointsman.sock.",
        ),
        row("port", PORT, Is("8000"), "Port to listen on; 0: a free one."),
        row(
            "api_keys",
            Kind::List(&Kind::Secret),
            Nothing,
            "With any, clients must send one; without `admin` they open /metrics and /admin, too.",
        ),
        row("cors", Kind::Section(&CORS), Each, "The web pages that may send requests."),
        row(
            "hosts",
            TEXTS,
            Nothing,
            "Names of this machine beside localhost and its addresses, where only it can connect and no client keys are set.",
        ),
        row(
            "forward_headers",
            TEXTS,
            Nothing,
            "Headers about clients that providers get all the same; credentials they never get.",
        ),
        row("max_body_bytes", BODY, Is("33554432"), "The largest body of a request."),
        row(
            "max_buffered_bytes",
            BODY,
            As("a quarter of the memory"),
            "What the bodies of all requests together may hold; others wait to be read.",
        ),
        row(
            "max_header_bytes",
            Kind::Integer(8 << 10, 1 << 20),
            Is("32768"),
            "The largest head of a request, with 256 headers at most.",
        ),
        row(
            "max_connections",
            COUNT,
            As("20000, or what half of the open files allow"),
            "Connections at once; more are turned away.",
        ),
        row(
            "header_timeout",
            Kind::Seconds,
            Is("10"),
            "What a client gets to send the head of a request, or to finish TLS's handshake.",
        ),
        row(
            "idle_timeout",
            Kind::Seconds,
            Is("75"),
            "When a connection without a request is closed, or one whose answer is not read.",
        ),
        row(
            "drain_delay",
            Kind::SecondsOrZero,
            Is("0"),
            "How long, after SIGTERM, it goes on accepting while /ready says 503 already.",
        ),
        row("drain_timeout", Kind::SecondsOrZero, Is("30"), "What requests in flight get after SIGTERM."),
        row(
            "keep_alive",
            Kind::SecondsOrZero,
            Is("15"),
            "A stream on which nothing was sent for so long gets a comment; 0: never.",
        ),
        row("websocket", Kind::Section(&WEBSOCKET), Each, "The time limits of WebSockets."),
        row(
            "watch",
            Kind::Boolean,
            Is("true"),
            "Changes of this file, the strategy or the certificate are followed by a reload.",
        ),
        row(
            "http",
            HTTP,
            Is("auto"),
            "auto: HTTP/1.1 and HTTP/2, over TLS by ALPN and without it with prior knowledge; or HTTP/1.1 alone.",
        ),
        row("max_streams", Kind::Integer(1, 10_000), Is("250"), "Requests at once on one connection with HTTP/2."),
        row("tls", Kind::Section(&TLS), As("plain HTTP"), "The certificate of the listener."),
        row(
            "admin",
            Kind::Section(&ADMIN),
            Nothing,
            "A second listener for /metrics and /admin, which the first then does not serve.",
        ),
    ],
);
pub(in crate::config) const TLS: Schema = Schema::new(
    "`server.tls`",
    &[
        row("cert", PATH, Required, "A PEM file: the chain, the server's own certificate first."),
        row("key", PATH, Required, "A PEM file: its private key."),
    ],
);
pub(in crate::config) const CORS: Schema = Schema::new(
    "`server.cors`",
    &[row("origins", TEXTS, Nothing, "Such as http://localhost:3000, as browsers name them; `*` is any.")],
);
pub(in crate::config) const WEBSOCKET: Schema = Schema::new(
    "`server.websocket`",
    &[
        row(
            "idle_timeout",
            Kind::SecondsOrZero,
            Is("300"),
            "When one without a message either way is closed; pings do not count; 0: never.",
        ),
        row("max_duration", Kind::SecondsOrZero, Is("7200"), "How long one may be open; 0: without end."),
    ],
);
pub(in crate::config) const ADMIN: Schema = Schema::new(
    "`server.admin`",
    &[
        row("host", Kind::Text, Is("127.0.0.1"), "Address or host name to listen on."),
        row("port", PORT, Required, "Port to listen on; 0: a free one."),
        row("api_key", Kind::Secret, Nothing, "What `Authorization: Bearer KEY` must say here."),
    ],
);
pub(in crate::config) const NETWORK: Schema = Schema::new(
    "`network`",
    &[row(
        "proxy",
        Kind::Secret,
        As("none, with a warning where the environment names one"),
        "The forward proxy of all providers: none, env (HTTPS_PROXY and its kin), or the URL of an HTTP proxy.",
    )],
);
pub(in crate::config) const QUEUE: Schema = Schema::new(
    "`queue`",
    &[
        row("max_concurrent", COUNT, Is("100"), "Requests in flight at once; all others wait."),
        row(
            "max_waiting",
            Kind::Integer(0, u32::MAX as u64),
            Is("1000"),
            "Requests that may wait; more are turned away at once.",
        ),
        row("timeout", Kind::SecondsOrZero, Is("60"), "How long a request waits at most; 0: not at all."),
        row(
            "slot_wait",
            Kind::SecondsOrZero,
            Is("0.5"),
            "How long it waits for a provider that is at its max_concurrent.",
        ),
    ],
);
pub(in crate::config) const CLIENTS: Schema = Schema::new(
    "`clients`",
    &[
        row(
            "unknown",
            Kind::Word(&["refuse", "allow"]),
            As("refuse as soon as there is a key or a store, else allow"),
            "Callers without a known key.",
        ),
        row("groups", Kind::List(&Kind::Section(&CLIENT_GROUP)), Nothing, "Clients that share limits."),
        row("keys", Kind::List(&Kind::Section(&CLIENT_KEY)), Nothing, "The clients, each with its key."),
        row("header", Kind::Text, Nothing, "One more header in which keys are accepted."),
        row(
            "store",
            Kind::OneOf(&[Kind::Word(&["engine"]), Kind::Section(&CLIENT_STORE)]),
            Nothing,
            "Where keys that operators make at run time are kept: `engine`, that of `state`, or a file.",
        ),
    ],
);
pub(in crate::config) const CLIENT_GROUP: Schema = Schema::new(
    "`clients.groups[]`",
    &[row("name", Kind::Text, Required, "Its name; unique."), LIMITS_ROW, BUDGET_ROW],
);
pub(in crate::config) const CLIENT_KEY: Schema = Schema::with(
    "`clients.keys[]`",
    &["hash", "key", "key_file"],
    &[
        row("name", Kind::Text, Required, "Its label in logs and metrics; unique."),
        row("group", Kind::Text, Nothing, "The group whose limits it shares."),
        row("hash", Kind::Secret, Nothing, "The hash of its key, from `pointsman key new`."),
        row("key", Kind::Secret, Nothing, "In place of `hash`: the key itself, of any form."),
        row("key_file", PATH, Nothing, "In place of `hash`: a file that holds the key."),
        row("models", MODELS, As("all"), "The models that it may use, as clients name them; one `*` is a wildcard."),
        row(
            "expires",
            Kind::Text,
            As("never"),
            "2027-01-31, to the end of that day in UTC, or a moment such as 2027-01-31T18:00:00+01:00.",
        ),
        LIMITS_ROW,
        BUDGET_ROW,
        row(
            "when_exhausted",
            Kind::Text,
            Is("refuse"),
            "The one of its models that is asked for instead once a budget is spent.",
        ),
        row("notify", Kind::Above(0.0, 1.0), Nothing, "The log warns once at this share of a limit."),
    ],
);
/// The properties of a key that operators may set at run time.
pub(in crate::config) const KEY_TERMS: Schema = Schema::of_names(
    "the key",
    &["name", "group", "models", "expires", "limits", "budget", "when_exhausted", "notify"],
);
pub(in crate::config) const CLIENT_STORE: Schema =
    Schema::new("`clients.store`", &[row("path", PATH, Required, "A file on this machine, such as state/keys.redb.")]);
pub(in crate::config) const STATE: Schema = Schema::with(
    "`state`",
    &["url", "sentinel"],
    &[
        row(
            "url",
            Kind::OneOf(&[Kind::Text, TEXTS]),
            Nothing,
            "redis://, rediss://, valkey://, valkeys:// or unix:/path; a list of URLs is a cluster.",
        ),
        row("sentinel", Kind::Section(&SENTINEL), Nothing, "In place of `url`: who knows the present master."),
        row("username", Kind::Text, Nothing, "The user."),
        row("password", Kind::Secret, Nothing, "The password."),
        row("password_file", PATH, Nothing, "In place of `password`: a file that holds it."),
        row(
            "tls",
            Kind::Section(&STATE_TLS),
            As("the system's certificates"),
            "Whom to trust, and the certificate to show.",
        ),
        row("prefix", Kind::Text, Is("pm"), "Begins every key; two fleets in one engine differ here."),
        row("timeout", Kind::Seconds, Is("0.025"), "What a request may wait at most, near a limit."),
        row(
            "on_outage",
            Kind::Word(&["local", "closed", "open"]),
            Is("local"),
            "Without the engine: each replica keeps to its share; closed: 503; open: no limits.",
        ),
        row("required", Kind::Boolean, Is("false"), "True: /ready says 503 while it is out of reach."),
    ],
);
pub(in crate::config) const SENTINEL: Schema = Schema::new(
    "`state.sentinel`",
    &[
        row("name", Kind::Text, Required, "The name of the master, such as mymaster."),
        row("urls", TEXTS, Required, "The sentinels, such as redis://s1:26379."),
    ],
);
pub(in crate::config) const STATE_TLS: Schema = Schema::new(
    "`state.tls`",
    &[
        row("ca", PATH, As("the system's certificates"), "A PEM file: whom to trust."),
        row("cert", PATH, Nothing, "A PEM file: the chain of a client certificate."),
        row("key", PATH, Nothing, "A PEM file: its private key."),
    ],
);
