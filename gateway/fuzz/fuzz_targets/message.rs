//! y-protocols' messages and presence: what is read is written as the same bytes, so nothing of it can be taken for
//! something else by another reader.

#![no_main]

use bytes::{Bytes, BytesMut};
use editorcluster_core::lib0::{Reader, write_var_bytes, write_var_string, write_var_uint};
use gateway::protocol::yjs::{Message, decode_all, decode_awareness, encode_awareness};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    values(bytes);
    let frame = Bytes::copy_from_slice(bytes);
    presence(frame.clone());
    if let Ok(messages) = decode_all(frame.clone()) {
        let written: Vec<u8> = messages.iter().flat_map(Message::encode).collect();
        assert_eq!(written, frame);
        for message in messages {
            if let Message::Awareness(body) = message {
                presence(body);
            }
        }
    }
});

fn presence(body: Bytes) {
    if let Ok(list) = decode_awareness(body.clone()) {
        assert_eq!(encode_awareness(&list), body);
        assert!(list.iter().all(|presence| serde_json::from_str::<serde::de::IgnoredAny>(&presence.json).is_ok()));
    }
}

/// Each value of lib0 at the front.
fn values(bytes: &[u8]) {
    let written = |write: &dyn Fn(&mut BytesMut)| {
        let mut out = BytesMut::new();
        write(&mut out);
        out
    };
    let read = |reader: &Reader<'_>| &bytes[..bytes.len() - reader.remaining()];
    let mut reader = Reader::new(bytes);
    if let Ok(number) = reader.var_uint() {
        assert_eq!(written(&|out| write_var_uint(out, number)), read(&reader));
    }
    let mut reader = Reader::new(bytes);
    if let Ok(value) = reader.var_bytes() {
        assert_eq!(written(&|out| write_var_bytes(out, value)), read(&reader));
    }
    let mut reader = Reader::new(bytes);
    if let Ok(text) = reader.var_str() {
        assert_eq!(written(&|out| write_var_string(out, text)), read(&reader));
    }
    let mut reader = Reader::new(bytes);
    if let Ok(number) = reader.var_int() {
        assert!(number.unsigned_abs() <= editorcluster_core::lib0::MAX_UINT);
    }
}
