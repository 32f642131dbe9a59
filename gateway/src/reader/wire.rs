//! Question and answer between the gateway and a process that reads: frames, each its length (8 bytes, the lowest first)
//! and as many bytes.
//!
//! A question is a frame of JSON and two states. An answer is a frame of JSON, which says whether there is one, and its
//! bytes.

use std::io::{self, Read, Write};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::bounds::MAX_ANSWER_BYTES;
use crate::history::reading::Question;

/// What comes before an answer's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verdict {
    Read,
    /// Why there is no answer, for whoever asked.
    Refused(String),
}

/// Asks, from the gateway's side.
///
/// # Errors
/// The other side does not take it.
pub(super) async fn ask(
    pipe: &mut (impl AsyncWrite + Unpin),
    question: &Question,
    states: &[Bytes; 2],
) -> io::Result<()> {
    let question = serde_json::to_vec(question)?;
    for bytes in [&question[..], &states[0], &states[1]] {
        pipe.write_all(&(bytes.len() as u64).to_le_bytes()).await?;
        pipe.write_all(bytes).await?;
    }
    pipe.flush().await
}

/// Reads an answer, from the gateway's side.
///
/// # Errors
/// The other side has ended before its answer, or answers what no process that reads does.
pub(super) async fn hear(pipe: &mut (impl AsyncRead + Unpin)) -> io::Result<(Verdict, Bytes)> {
    let verdict = serde_json::from_slice(&frame(pipe).await?)?;
    Ok((verdict, frame(pipe).await?.into()))
}

async fn frame(pipe: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = pipe.read_u64_le().await?;
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_ANSWER_BYTES);
    let mut bytes = vec![0; length.ok_or_else(|| io::Error::other("an answer that is too long"))?];
    pipe.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Reads a question, from the other side.
///
/// # Errors
/// The gateway has ended.
pub(super) fn question(input: &mut impl Read) -> io::Result<(Question, [Vec<u8>; 2])> {
    let mut frame = || {
        let mut length = [0; 8];
        input.read_exact(&mut length)?;
        let mut bytes = vec![0; usize::try_from(u64::from_le_bytes(length)).map_err(io::Error::other)?];
        input.read_exact(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    Ok((serde_json::from_slice(&frame()?)?, [frame()?, frame()?]))
}

/// Answers, from the other side.
///
/// # Errors
/// The gateway does not want to know any more.
pub(super) fn answer(output: &mut impl Write, answer: Result<Vec<u8>, String>) -> io::Result<()> {
    let (verdict, bytes) = match answer {
        Ok(bytes) => (Verdict::Read, bytes),
        Err(reason) => (Verdict::Refused(reason), Vec::new()),
    };
    for bytes in [serde_json::to_vec(&verdict)?, bytes] {
        output.write_all(&(bytes.len() as u64).to_le_bytes())?;
        output.write_all(&bytes)?;
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn questions_and_answers_arrive_as_they_were_sent() {
        let users = [(7, Some("Ann".to_owned())), (u64::MAX, None)].into();
        let authors = Question::Authors { version: "current".to_owned(), since: Some("3".to_owned()), users };
        for (asked, states) in [(Question::Text, ["state", ""]), (authors, ["new", "old"])] {
            let mut pipe = Vec::new();
            ask(&mut pipe, &asked, &states.map(|state| Bytes::from_static(state.as_bytes()))).await.unwrap();
            assert_eq!(question(&mut &pipe[..]).unwrap(), (asked, states.map(|state| state.as_bytes().to_vec())));
            assert!(question(&mut &pipe[..pipe.len() - 1]).is_err(), "the gateway has ended");
        }
        for (said, heard) in [
            (Ok(b"words".to_vec()), (Verdict::Read, Bytes::from_static(b"words"))),
            (Err("why".to_owned()), (Verdict::Refused("why".to_owned()), Bytes::new())),
        ] {
            let mut pipe = Vec::new();
            answer(&mut pipe, said).unwrap();
            assert_eq!(hear(&mut &pipe[..]).await.unwrap(), heard);
            assert!(hear(&mut &pipe[..pipe.len() - 1]).await.is_err(), "it has died");
        }
    }

    #[tokio::test]
    async fn an_answer_that_says_it_is_too_long_is_not_awaited() {
        let error = hear(&mut &u64::MAX.to_le_bytes()[..]).await.unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }
}
