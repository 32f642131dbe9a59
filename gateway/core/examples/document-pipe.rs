//! Answers requests about a document on standard input, for the comparison with Yjs in `e2e/clients/differential`.
//!
//! A request is the length of what follows (32 bits, little-endian), a byte that says what is wanted, and its argument;
//! an answer is a length, a status and a result.

use std::io::{self, BufReader, BufWriter, Read, Write};

use bytes::Bytes;
use editorcluster_core::document::{Admitted, Document, Refused, merge};

type Answer = (u8, Bytes);

fn admitted(result: Result<Admitted, Refused>) -> Answer {
    match result {
        Ok(Admitted { news, waits, .. }) => (waits.is_some().into(), news.unwrap_or_default()),
        Err(refused) => (2, refused.to_string().into()),
    }
}

fn bytes(result: Result<Bytes, Refused>) -> Answer {
    result.map_or_else(|refused| (2, refused.to_string().into()), |bytes| (0, bytes))
}

fn list(mut argument: Bytes) -> Vec<Bytes> {
    let mut updates = Vec::new();
    while argument.len() >= 4 {
        let length = argument.split_to(4);
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        updates.push(argument.split_to(length.min(argument.len())));
    }
    updates
}

/// The document, and how an empty one of its kind is made.
struct Store {
    document: Document,
    empty: fn() -> Document,
}

fn answer(store: &mut Store, wanted: u8, argument: Bytes) -> Answer {
    let Store { document, empty } = store;
    match wanted {
        0 | 8 => {
            *empty = if wanted == 8 { Document::keeping_deleted } else { Document::default };
            *document = empty();
            (0, Bytes::new())
        }
        1 => admitted(document.admit(&argument, usize::MAX)),
        2 => {
            let answer = admitted(document.take(&argument));
            // Also what waited before counts.
            if answer.0 < 2 { ((document.pending_bytes() > 0).into(), answer.1) } else { answer }
        }
        3 => bytes(document.encode_state()),
        4 => bytes(document.diff(&argument)),
        5 => (0, document.state_vector()),
        6 => {
            *document = empty();
            let answer = admitted(document.load(&argument));
            if answer.0 < 2 { (0, answer.1) } else { answer }
        }
        7 => bytes(merge(list(argument).iter().map(|update| &update[..]))),
        _ => (2, Bytes::from_static(b"an unknown request")),
    }
}

fn main() -> io::Result<()> {
    let (mut input, mut output) = (BufReader::new(io::stdin()), BufWriter::new(io::stdout()));
    let mut store = Store { document: Document::default(), empty: Document::default };
    loop {
        // Answers leave before more is waited for.
        if input.buffer().is_empty() {
            output.flush()?;
        }
        let mut length = [0; 4];
        match input.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return output.flush(),
            result => result?,
        }
        let mut request = vec![0; u32::from_le_bytes(length) as usize];
        input.read_exact(&mut request)?;
        let mut request = Bytes::from(request);
        let Some(wanted) = (!request.is_empty()).then(|| request.split_to(1)[0]) else { continue };
        let (status, result) = answer(&mut store, wanted, request);
        output.write_all(&(result.len() as u32 + 1).to_le_bytes())?;
        output.write_all(&[status])?;
        output.write_all(&result)?;
    }
}
