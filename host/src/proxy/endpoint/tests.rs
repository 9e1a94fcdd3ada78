use super::*;

fn of(method: Method, path: &str) -> Option<(String, Class)> {
    Endpoint::of(&method, path).ok().map(|endpoint| (endpoint.path, endpoint.class))
}

#[test]
fn v1_may_be_left_out_of_known_endpoints_only() {
    let chat = Some(("chat/completions".to_owned(), Class::Generate));
    assert_eq!(of(Method::POST, "/v1/chat/completions"), chat);
    assert_eq!(of(Method::POST, "/chat/completions"), chat);
    assert_eq!(of(Method::POST, "/v1/something/new"), Some(("something/new".to_owned(), Class::Other)));
    for unknown in ["/something/new", "/", "/v1", "/v1/", "/metrics", "/admin/reload", "/favicon.ico", "/v1x/files"] {
        assert!(matches!(Endpoint::of(&Method::GET, unknown), Err(ProxyError::UnknownPath(_))), "{unknown}");
    }
}

#[test]
fn every_root_of_v1_is_served_without_it() {
    for row in TABLE {
        for prefix in ["/", "/v1/", "/openai/v1/"] {
            let path = format!("{prefix}{}", row.path);
            let served = [Method::GET, Method::POST].into_iter().find_map(|method| of(method, &path));
            assert!(served.is_some(), "{path}");
        }
    }
    for root in ["projects", "skills", "videos", "chatkit", "content_provenance_checks"] {
        assert_eq!(of(Method::GET, &format!("/{root}/x")), of(Method::GET, &format!("/v1/{root}/x")), "{root}");
    }
}

#[test]
fn stored_things_are_told_from_new_ones() {
    for (method, path) in [
        (Method::GET, "/v1/files/file-1/content"),
        (Method::POST, "/v1/files"),
        (Method::POST, "/v1/batches/b/cancel"),
        (Method::GET, "/v1/responses/resp_1"),
        (Method::DELETE, "/v1/responses/resp_1"),
        (Method::POST, "/v1/responses/resp_1/cancel"),
        (Method::GET, "/v1/chat/completions"),
        (Method::GET, "/v1/chat/completions/chatcmpl-1/messages"),
        (Method::DELETE, "/v1/models/ft:gpt"),
        (Method::GET, "/v1/messages/batches/b"),
    ] {
        let (_, class) = of(method, path).expect("served");
        assert_eq!(class, Class::Stored, "{path}");
    }
    for made in ["responses", "responses/compact", "messages", "messages/count_tokens"] {
        assert_eq!(of(Method::POST, &format!("/v1/{made}")), Some((made.to_owned(), Class::Generate)));
    }
}

#[test]
fn what_stands_beside_v1_at_a_server_is_told_from_what_is_in_it() {
    assert_eq!(of(Method::POST, "/tokenize"), Some(("/tokenize".to_owned(), Class::Other)));
    assert_eq!(of(Method::POST, "/v1/tokenize"), Some(("tokenize".to_owned(), Class::Other)));
    assert_eq!(of(Method::POST, "/rerank"), Some(("/rerank".to_owned(), Class::Other)));
    assert_eq!(of(Method::POST, "/v1/rerank"), Some(("rerank".to_owned(), Class::Generate)));
}

#[test]
fn a_method_that_an_endpoint_does_not_have_is_named_with_those_that_it_has() {
    let allowed = |method: &str, path: &str| match Endpoint::of(&method.parse().expect("a method"), path) {
        Err(ProxyError::WrongMethod(allowed)) => allowed,
        _ => "served",
    };
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "OPTIONS", "BREW"] {
        assert_eq!(allowed(method, "/v1/embeddings"), "POST", "{method}");
    }
    assert_eq!(allowed("DELETE", "/v1/chat/completions"), "GET, HEAD, POST");
    assert_eq!(allowed("POST", "/v1/models"), "GET, HEAD");
    assert_eq!(allowed("PUT", "/v1/models/m"), "GET, HEAD, DELETE");
    assert_eq!(allowed("TRACE", "/v1/brand/new"), "GET, HEAD, POST, PUT, PATCH, DELETE");
    assert_eq!(allowed("PATCH", "/v1/brand/new"), "served");
}

#[test]
fn labels_stand_in_the_order_of_their_names() {
    let label = |path: &str| LABELS[Endpoint::of(&Method::POST, path).expect("served").label()];
    assert_eq!(label("/v1/chat/completions"), "chat/completions");
    assert_eq!(label("/v1/audio/speech"), "audio");
    assert_eq!(label("/v1/batches"), "batches");
    assert_eq!(label("/v1/brand/new"), "other");
    assert_eq!(LABELS[Label::Other as usize], "other");
}
