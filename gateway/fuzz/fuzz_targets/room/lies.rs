//! What an honest log and database would never say: any position, any bytes, at any time.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use gateway::room::log::{Appended, Entry, Epoch, Head, Opened, Position, ReadReply, Row, Tenure, Tip};
use gateway::room::{Effect, Input};

/// An answer to `call`, or a notice.
pub(crate) fn lie(input: &mut Unstructured<'_>, call: Option<&Effect>) -> Result<Input> {
    Ok(match (input.arbitrary::<u8>()? % 6, call) {
        (0, _) => Input::Entry(entry(input)?),
        (1, _) => Input::Covered { position: position(input)?, rev: input.arbitrary()? },
        (2, _) => Input::Disconnected { generation: input.arbitrary()? },
        (3, _) => Input::Connected { generation: input.arbitrary()? },
        (_, Some(&Effect::Subscribe { call })) => Input::Subscribed { call, result: Ok(input.arbitrary()?) },
        (_, Some(&Effect::Read { call })) => Input::Read { call, result: Ok(reply(input)?) },
        (_, Some(&Effect::Peek { call })) => {
            let ReadReply { last, head, tenure, .. } = reply(input)?;
            Input::Peeked { call, result: Ok(Tip { last, head, tenure }) }
        }
        (_, Some(&Effect::Rev { call })) => Input::RevRead { call, result: Ok(input.arbitrary::<u8>()?.into()) },
        (_, Some(&Effect::Load { call })) => Input::Loaded { call, result: Ok(row(input)?) },
        (_, Some(&Effect::Open { call, .. })) => {
            Input::Opened { call, result: Ok(if input.arbitrary()? { Opened::Opened } else { Opened::Refused }) }
        }
        (_, Some(&Effect::Append { call, .. })) => {
            let at = if input.arbitrary()? { Appended::At(position(input)?) } else { Appended::Refused };
            Input::Appended { call, result: Ok(at) }
        }
        (_, Some(&Effect::Write { call, .. })) => Input::Written { call, result: Ok(input.arbitrary()?) },
        (_, Some(&Effect::Cover { call, .. })) => Input::CoverDone { call, result: Ok(input.arbitrary()?) },
        _ => Input::Tick,
    })
}

/// Few different ones, so that some are alike. Not the largest: nobody opens 2^32 epochs, and the room does not look for
/// the end of the numbers.
fn position(input: &mut Unstructured<'_>) -> Result<Position> {
    let (generation, n): (u8, u8) = input.arbitrary()?;
    Ok(Position { epoch: Epoch::new((generation % 4).into(), 1), n: (n % 8).into() })
}

fn entry(input: &mut Unstructured<'_>) -> Result<Entry> {
    Ok(Entry { position: position(input)?, update: some_bytes(input)? })
}

fn reply(input: &mut Unstructured<'_>) -> Result<ReadReply> {
    let entries = (0..input.arbitrary::<u8>()? % 4).map(|_| entry(input)).collect::<Result<_>>()?;
    let last = if input.arbitrary()? { Some(position(input)?) } else { None };
    let tenure = Tenure(if input.arbitrary()? { "reign-0" } else { "another" }.to_owned());
    let head = if input.arbitrary()? { Some(position(input)?.epoch) } else { None };
    Ok(ReadReply { entries, last, head: head.map(|epoch| Head { epoch, tenure: tenure.clone() }), tenure })
}

fn row(input: &mut Unstructured<'_>) -> Result<Option<Row>> {
    if !input.arbitrary()? {
        return Ok(None);
    }
    let position = if input.arbitrary()? { Some(position(input)?) } else { None };
    Ok(Some(Row { state: some_bytes(input)?, position, rev: input.arbitrary::<u8>()?.into() }))
}

fn some_bytes(input: &mut Unstructured<'_>) -> Result<Bytes> {
    let length = usize::from(input.arbitrary::<u8>()?).min(input.len());
    input.bytes(length).map(Bytes::copy_from_slice)
}
