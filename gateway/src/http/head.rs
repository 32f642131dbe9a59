//! The head of a request, judged: a WebSocket for a document, or something for the HTTP router. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

/// A request line and headers may have this many bytes.
pub const MAX_HEAD_BYTES: usize = 16 << 10;
const MAX_HEADERS: usize = 100;
const MAX_DOCUMENT_BYTES: usize = 512;
const PREFIX: &str = "/yjs/";

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    /// More bytes are needed.
    Incomplete,
    /// A WebSocket to a document; `length` bytes of head, the rest are frames.
    Session { document: String, key: String, length: usize },
    /// Not a WebSocket: for the router, head and all.
    Other,
    /// A WebSocket of another version than 13.
    OtherVersion,
    /// A WebSocket that we cannot serve; the sentence is for the client's author.
    Bad(&'static str),
}

/// Judges what has come so far of a connection.
pub fn judge(bytes: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD_BYTES => length,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD_BYTES => return Head::Incomplete,
        // hyper has the right answer to each. Also when all of a long head came at once: how the network has cut it
        // must not matter.
        Ok(_) | Err(_) => return Head::Other,
    };
    let header = |name: &str| {
        let mut found = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        // What may be there once is not there if it is there twice.
        let only = found.next().filter(|_| found.next().is_none());
        only.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    };
    let names = |name: &str, token: &str| {
        let mut values = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        values.any(|header| {
            header
                .value
                .split(|&byte| byte == b',')
                .any(|value| value.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        })
    };
    if !names("upgrade", "websocket") {
        return Head::Other;
    }
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let Some(name) = path.strip_prefix(PREFIX) else {
        return Head::Bad("there is no WebSocket at this path; y-websocket is at /yjs/{document}");
    };
    if request.method != Some("GET") || request.version != Some(1) || !names("connection", "upgrade") {
        return Head::Bad("a WebSocket begins with a GET request of HTTP/1.1 and `Connection: Upgrade`");
    }
    if header("host").is_none() {
        return Head::Bad("the header Host must be there once");
    }
    if header("sec-websocket-version") != Some("13") {
        return Head::OtherVersion;
    }
    let is_nonce = |key: &&str| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16);
    let Some(key) = header("sec-websocket-key").filter(is_nonce) else {
        return Head::Bad("the header Sec-WebSocket-Key must be 16 bytes in base64");
    };
    match document(name) {
        Ok(document) => Head::Session { document, key: key.to_owned(), length },
        Err(sentence) => Head::Bad(sentence),
    }
}

/// The id that a path segment names.
fn document(segment: &str) -> Result<String, &'static str> {
    if segment.contains('/') {
        return Err("a document's name is one path segment: write %2F for a slash");
    }
    let name = percent_decode_str(segment).decode_utf8().map_err(|_| "the document's name is not UTF-8")?;
    check_name(&name)?;
    Ok(name.into_owned())
}

/// Whether a document may have this name; if not, the sentence says why.
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("the document's name is missing: /yjs/{document}");
    }
    if name.len() > MAX_DOCUMENT_BYTES {
        return Err("the document's name is longer than 512 bytes");
    }
    if name.chars().any(char::is_control) {
        return Err("the document's name has control characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade(path: &str) -> String {
        format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    }

    fn name(path: &str) -> Option<String> {
        match judge(upgrade(path).as_bytes()) {
            Head::Session { document, .. } => Some(document),
            _ => None,
        }
    }

    #[test]
    fn a_session_names_its_document() {
        assert_eq!(name("/yjs/notes").as_deref(), Some("notes"));
        assert_eq!(name("/yjs/a%20b%2Fc?token=x").as_deref(), Some("a b/c"));
        assert_eq!(name("/yjs/%C3%BC").as_deref(), Some("ü"));
        let longest = "x".repeat(512);
        assert_eq!(name(&format!("/yjs/{longest}")), Some(longest));
    }

    #[test]
    fn a_wrong_name_is_refused() {
        for path in
            ["/yjs/", "/yjs/a/b", "/yjs/%00", "/yjs/%0a", "/yjs/%ff", "/other", &format!("/yjs/{}", "x".repeat(513))]
        {
            assert!(matches!(judge(upgrade(path).as_bytes()), Head::Bad(_)), "{path}");
        }
    }

    #[test]
    fn each_rule_of_the_rfc_for_a_handshake_is_kept() {
        let session = |head: &Head| matches!(head, Head::Session { .. });
        let bad = |head: &Head| matches!(head, Head::Bad(_));
        let version = |head: &Head| *head == Head::OtherVersion;
        let other = |head: &Head| *head == Head::Other;
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let twice = format!("{key}\r\nSec-WebSocket-Key: {key}");
        type Is<'a> = &'a dyn Fn(&Head) -> bool;
        let cases: [(&str, &str, &str, Is<'_>); 27] = [
            ("4.2.1 (1) GET", "GET", "POST", &bad),
            ("4.2.1 (1) HTTP/1.1", "HTTP/1.1", "HTTP/1.0", &bad),
            ("4.2.1 (2) Host", "Host: h\r\n", "", &bad),
            ("4.2.1 (2) Host once", "Host: h", "Host: h\r\nHost: g", &bad),
            ("4.2.1 (3) Upgrade", "Upgrade: WebSocket\r\n", "", &other),
            ("4.2.1 (3) another", "Upgrade: WebSocket", "Upgrade: h2c", &other),
            ("4.2.1 (3) in any case", "WebSocket\r\n", "WEBSOCKET\r\n", &session),
            ("4.2.1 (3) in a list", "Upgrade: WebSocket", "Upgrade: h2c , websocket", &session),
            ("4.2.1 (3) in a second header", "Upgrade: WebSocket", "Upgrade: h2c\r\nUPGRADE: websocket", &session),
            ("4.2.1 (3) not as a part", "Upgrade: WebSocket", "Upgrade: websockets", &other),
            ("4.2.1 (4) Connection", "Connection: keep-alive, Upgrade\r\n", "", &bad),
            ("4.2.1 (4) another", "keep-alive, Upgrade", "close", &bad),
            ("4.2.1 (4) in any case", "keep-alive, Upgrade", "UPGRADE", &session),
            ("4.2.1 (4) in a list", "keep-alive, Upgrade", "upgrade,keep-alive", &session),
            ("4.2.1 (4) in a second header", "keep-alive, Upgrade", "keep-alive\r\nconnection: upgrade", &session),
            ("4.2.1 (5) a key", &format!("Sec-WebSocket-Key: {key}\r\n"), "", &bad),
            ("4.2.1 (5) a short one", key, "short", &bad),
            ("4.2.1 (5) 15 bytes", key, "AAAAAAAAAAAAAAAAAAAA", &bad),
            ("4.2.1 (5) 17 bytes", key, "AAAAAAAAAAAAAAAAAAAAAAA=", &bad),
            ("4.2.1 (5) 24 characters, but not base64", key, "!!!!!!!!!!!!!!!!!!!!!!==", &bad),
            ("11.3.1 one key", key, &twice, &bad),
            ("4.2.1 (6) a version", "Sec-WebSocket-Version: 13\r\n", "", &version),
            ("4.2.2 (4) version 8", "Version: 13", "Version: 8", &version),
            ("4.2.2 (4) version 14", "Version: 13", "Version: 14", &version),
            ("4.4 one version", "Version: 13", "Version: 13, 8", &version),
            ("4.2.1 (8) a protocol is an offer", "Host: h", "Host: h\r\nSec-WebSocket-Protocol: a, b", &session),
            (
                "4.2.1 (9) an extension too",
                "Host: h",
                "Host: h\r\nSec-WebSocket-Extensions: permessage-deflate",
                &session,
            ),
        ];
        for (rule, right, wrong, expected) in cases {
            let request = upgrade("/yjs/a").replacen(right, wrong, 1);
            assert_ne!(request, upgrade("/yjs/a"), "{rule} changes nothing");
            let head = judge(request.as_bytes());
            assert!(expected(&head), "{rule}: {head:?}");
        }
        assert!(session(&judge(upgrade("/yjs/a").as_bytes())));
    }

    #[test]
    fn frames_behind_the_head_are_not_part_of_it() {
        let head = upgrade("/yjs/a");
        let request = format!("{head}frames");
        assert!(matches!(judge(request.as_bytes()), Head::Session { length, .. } if length == head.len()));
    }

    #[test]
    fn a_head_may_be_as_long_as_the_limit_also_when_it_comes_at_once() {
        let padded = |length: usize| {
            let head = upgrade("/yjs/a");
            let padding = "x".repeat(length - head.len() - "X: \r\n".len());
            head.replace("Host: h\r\n", &format!("Host: h\r\nX: {padding}\r\n"))
        };
        assert!(matches!(judge(padded(MAX_HEAD_BYTES).as_bytes()), Head::Session { length: MAX_HEAD_BYTES, .. }));
        assert_eq!(judge(padded(MAX_HEAD_BYTES + 1).as_bytes()), Head::Other);
    }

    #[test]
    fn what_is_no_websocket_goes_to_the_router() {
        assert_eq!(judge(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Head::Other);
        assert_eq!(judge(b"GET /yjs/a HTTP/1.1\r\nHost: h\r\n\r\n"), Head::Other);
        assert_eq!(judge(b"\x16\x03\x01 not http"), Head::Other);
        assert_eq!(judge(b"GET / HT"), Head::Incomplete);
        assert_eq!(
            judge(
                "GET / HTTP/1.1\r\nX: "
                    .bytes()
                    .chain(std::iter::repeat_n(b'x', MAX_HEAD_BYTES))
                    .collect::<Vec<_>>()
                    .as_slice()
            ),
            Head::Other
        );
    }
}
