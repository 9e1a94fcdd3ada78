//! Multipart forms, as transcriptions send them.

use super::*;

const TYPE: &str = "multipart/form-data; boundary=xyz";

fn part(name: &str, content: &str) -> String {
    format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
}

fn form(parts: &[String]) -> String {
    format!("{}--xyz--\r\n", parts.concat())
}

fn read_form(body: &str, content_type: &str) -> Result<RequestBody, BodyError> {
    RequestBody::multipart(Bytes::copy_from_slice(body.as_bytes()), content_type, None, &Menu::default())
}

const FILE: &str = "--xyz\r\nContent-Disposition: form-data; name=\"model\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg\r\n\r\n\0--xyzz\r\n--xyzz\r\n\r\nRIFF\r\n";

#[test]
fn the_model_is_found_and_replaced_among_files() {
    let parts = |model| form(&[FILE.to_owned(), part("model", model), part("stream", "true")]);
    let body = read_form(&parts("whisper-1"), TYPE).unwrap();
    assert_eq!((body.model(), body.streaming()), ("whisper-1", true));
    assert_eq!(text(body.with_model("a \"b\"")), parts("a \"b\""));
    assert_eq!(text(body.with_model("whisper-1")), parts("whisper-1"));
}

#[test]
fn headers_are_read_in_all_their_spellings() {
    for head in [
        "content-disposition:form-data;name=model",
        "CONTENT-DISPOSITION: form-data; NAME=\"model\"",
        "X: y\r\nContent-Disposition: form-data; x=\"a;name=\\\"b\\\"\"; name = \"mo\\del\" ; y\r\nContent-Type: text/plain",
    ] {
        let body = format!("preamble\r\n--xyz \t\r\n{head}\r\n\r\nm\r\n--xyz--");
        assert_eq!(read_form(&body, TYPE).unwrap().model(), "m", "{head}");
    }
}

#[test]
fn a_boundary_may_be_quoted() {
    let body = form(&[part("model", "m")]).replace("xyz", "x; y=z");
    for content_type in
        ["multipart/form-data; charset=utf-8; BOUNDARY=\"x; y=z\"", "multipart/form-data;boundary=\"x; y=z\"; a=b"]
    {
        assert_eq!(read_form(&body, content_type).unwrap().model(), "m");
    }
}

#[test]
fn the_prefix_and_the_optillm_fields_work_as_in_json() {
    let body = form(&[
        part("optillm_approach", "none"),
        part("wrap", ""),
        FILE.to_owned(),
        part("model", "bon-m"),
        part("wrapped_approach", ""),
    ]);
    let body = read_form(&body, TYPE).unwrap();
    assert_eq!((body.model(), body.approach()), ("m", Some(&Approach::Plain)));
    assert_eq!(text(body.with_model("n")), format!("\r\n{}", form(&[FILE.to_owned(), part("model", "n")])));
    let error = read_form(&form(&[part("model", "bon-whisper")]), TYPE).unwrap_err();
    assert_eq!(error.code(), "approach_unavailable");
    assert_eq!(read_form(&form(&[part("proxy_wrap", "moa")]), TYPE).unwrap_err().param(), Some("proxy_wrap"));
}

#[test]
fn two_models_are_refused() {
    let error = read_form(&form(&[part("model", "a"), part("model", "b")]), TYPE).unwrap_err();
    assert_eq!(error, BodyError::duplicate(b"model"));
}

#[test]
fn a_model_that_is_no_text_is_refused() {
    let body = form(&[part("model", "none-\u{1}")]).into_bytes();
    let body: Vec<u8> = body.into_iter().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
    let error = RequestBody::multipart(body.into(), TYPE, None, &Menu::default()).unwrap_err();
    assert_eq!(error, BodyError::NotAString { param: "model" });
}

#[test]
fn what_is_not_a_form_is_opaque() {
    let form = form(&[part("model", "m")]);
    for (body, content_type) in [
        (form.as_str(), "multipart/form-data"),
        (&form, "multipart/form-data; boundary="),
        (&form, "multipart/form-data; boundary=abc"),
        ("{\"model\": \"m\"}", TYPE),
        ("", TYPE),
        ("--xyz", TYPE),
        ("--xyz--", TYPE),
        ("--xyz\r\n--xyz\r\n--xyz--", TYPE),
        ("--xyz\r\n--xyz--\r\nContent-Disposition: form-data; name=model\r\n\r\nm\r\n--xyz--", TYPE),
        ("--xyz\r\n\r\nContent-Disposition: form-data; name=model\r\n\r\nm\r\n--xyz--", TYPE),
        ("--xyz\r\nContent-Disposition: form-data; name=model\r\n\r\nm", TYPE),
        ("--xyz\nContent-Disposition: form-data; name=model\n\nm\n--xyz--", TYPE),
    ] {
        let read = read_form(body, content_type).unwrap();
        assert_eq!(read.model(), "", "{body}");
        assert_eq!(text(read.with_model("x")), body);
    }
}

#[test]
fn an_empty_model_can_be_replaced() {
    let body = read_form(&form(&[part("model", "")]), TYPE).unwrap();
    assert_eq!(text(body.with_model("x")), form(&[part("model", "x")]));
}
