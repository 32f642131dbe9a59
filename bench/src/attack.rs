//! Clients that mean harm, in a process of their own: it is started with the lowest priority, so that the well-behaved
//! clients on the same core do not wait for it, and what it uses is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{interval, sleep};

use crate::edit::{self, write_bytes, write_var};
use crate::wire;

mod costly;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Attack {
    /// 1,000 connections a second that send half a request and wait.
    Handshakes,
    /// 900 connections that send one byte a second: in the request line, in the headers, in a frame.
    Drips,
    /// 2,000 sessions whose client is gone without a word.
    HalfOpen,
    /// A session in each of the others' documents that never reads, and 20 in a document that gets 5 MiB/s.
    SlowReaders,
    /// 200 sessions a second that are refused for what they say, each kind in turn.
    Refused,
    /// 10 sessions that send one message in fragments, with and without content, as fast as they can.
    Fragments,
    /// 10 sessions that ping as fast as they can, and read.
    Pings,
    /// 10 sessions that ask as fast as they can what they lack of a document of 223 KB, and read.
    Questions,
    /// 10 sessions in one document that tell of 100 people with 1 KiB each as fast as they can, and read.
    Presences,
    /// 10 sessions in one document that write as fast as they can, and read.
    Updates,
    /// 20,000 types in each other. This and what follows is one update, sent by 10 sessions, each of which comes back when
    /// it is closed or the update has come back.
    Nested,
    /// 50,000 clients, each of which waits for the next.
    Chain,
    /// 4,000 insertions at one place.
    Conflict,
    /// 4,000 structs in a type that is none.
    Orphans,
    /// 15 MiB of single characters.
    Dense,
    /// 15 MiB of clients with one character each.
    Clients,
    /// A text of 4 MiB of which every other character is deleted.
    Scattered,
    /// Structs that refer to what comes after them.
    OwnFuture,
    /// 60 sessions that join a document of 2.8 MB again and again, while somebody writes in it.
    Joins,
}

/// Not the well-behaved clients' address: attackers have their own.
const FROM: [u8; 4] = [127, 0, 0, 2];
/// Half-open connections that the attacker itself keeps; a process has 20,000 files at most here.
const KEPT: usize = 12_000;
const DRIPS: usize = 900;
const SILENT: usize = 2000;
const FLOODS: usize = 10;
const REFUSED_EVERY: Duration = Duration::from_millis(5);
const PAPER: &[u8] = include_bytes!("../data/automerge-paper.bin");
/// Documents that costly updates go to; each may grow until it is refused.
const COSTLY_DOCUMENTS: u64 = 4;
/// Sessions that join at once, and the parts that make their document.
const JOINS: usize = 60;
const PARTS: u64 = 23;
/// What a session reads of it: all but the last message.
const JOINED: usize = 2_600_000;
/// Before somebody who was thrown out comes back.
const PAUSE: Duration = Duration::from_millis(20);

/// Attacks until the process is killed. `others`: the documents `PREFIX-NUMBER` of the well-behaved clients.
pub async fn run(attack: Attack, address: SocketAddr, prefix: &str, documents: usize) -> Result<()> {
    match attack {
        Attack::Handshakes => return handshakes(address).await,
        Attack::Drips => {
            for index in 0..DRIPS {
                again_and_again(async move || drip(address, index % 3).await);
            }
        }
        Attack::HalfOpen => {
            for index in 0..SILENT {
                let mut session = session(address, &format!("{prefix}-{}", index % documents)).await?;
                session.write_all(&sync(&[0, 0, 1, 0])).await?;
                // Open, and never read.
                spawn_local(async move {
                    std::future::pending::<()>().await;
                    drop(session)
                });
            }
        }
        Attack::SlowReaders => {
            let busy = |index| if index < documents { format!("{prefix}-{index}") } else { "busy".to_owned() };
            for index in 0..documents + 20 {
                let mut session = session(address, &busy(index)).await?;
                session.write_all(&sync(&[0, 0, 1, 0])).await?;
                spawn_local(async move {
                    std::future::pending::<()>().await;
                    drop(session)
                });
            }
            again_and_again(async move || write_the_same(address).await);
        }
        Attack::Refused => {
            let mut due = interval(REFUSED_EVERY);
            for index in 0.. {
                due.tick().await;
                spawn_local(refused(address, index));
            }
        }
        Attack::Fragments => {
            for index in 0..FLOODS {
                let piece = if index % 2 == 0 { vec![0; 64 << 10] } else { Vec::new() };
                let frames = frame(0x00, &piece).repeat(if index % 2 == 0 { 1 } else { 1000 });
                again_and_again(async move || {
                    flood(address, "fragments", &frame(0x02, b"x"), |_| frames.clone()).await
                });
            }
        }
        Attack::Pings => {
            for _ in 0..FLOODS {
                let pings = frame(0x89, &[b'?'; 125]).repeat(100);
                again_and_again(async move || flood(address, "pings", &[], |_| pings.clone()).await);
            }
        }
        Attack::Questions => {
            let mut paper = vec![0, 2];
            write_bytes(&mut paper, PAPER);
            let mut writer = session(address, "paper").await?;
            writer.write_all(&sync(&paper)).await?;
            for _ in 0..FLOODS {
                // A vector that is not empty, so that the answer is a difference.
                let questions = sync(&[0, 0, 3, 1, 1, 1]).repeat(100);
                again_and_again(async move || flood(address, "paper", &[], |_| questions.clone()).await);
            }
        }
        Attack::Presences => {
            for index in 0..FLOODS as u64 {
                again_and_again(async move || {
                    flood(address, "crowded", &[], |turn| presences(index * 100, turn)).await
                });
            }
        }
        Attack::Updates => {
            for author in 0..FLOODS as u64 {
                again_and_again(async move || {
                    flood(address, "written", &sync(&[0, 0, 1, 0]), |turn| updates((1 << 40) + author, turn)).await
                });
            }
        }
        Attack::Nested => send_again_and_again(address, "nested", costly::nested),
        Attack::Chain => send_again_and_again(address, "chain", costly::chain),
        Attack::Conflict => send_again_and_again(address, "conflict", costly::conflict),
        Attack::Orphans => send_again_and_again(address, "orphans", costly::orphans),
        Attack::Dense => send_again_and_again(address, "dense", costly::dense),
        Attack::Clients => send_again_and_again(address, "clients", costly::clients),
        Attack::Scattered => send_again_and_again(address, "scattered", costly::scattered),
        Attack::OwnFuture => send_again_and_again(address, "future", costly::own_future),
        Attack::Joins => joins(address).await?,
    }
    std::future::pending().await
}

/// 10 sessions, each of which sends one update and goes when it is closed or the update has come back.
fn send_again_and_again(address: SocketAddr, document: &'static str, make: fn(u64) -> Vec<u8>) {
    for number in 0..FLOODS as u64 {
        let mut turn = 0;
        again_and_again(async move || {
            turn += 1;
            // Far enough from each other for the clients of any update.
            let update = make(((number << 12) + turn) << 24);
            send_once(address, &format!("{document}-{}", number % COSTLY_DOCUMENTS), &update).await
        });
    }
}

async fn send_once(address: SocketAddr, document: &str, update: &[u8]) -> Result<()> {
    let mut message = vec![0, 2];
    write_bytes(&mut message, update);
    let (mut reader, mut writer) = session(address, document).await?.into_split();
    let length = message.len();
    let reading = async {
        let (mut buffer, mut read) = (vec![0; 64 << 10], 0);
        // The acknowledgement has the same length as the update.
        while read < length {
            match reader.read(&mut buffer).await? {
                0 => break,
                count => read += count,
            }
        }
        anyhow::Ok(())
    };
    let (written, read) = tokio::join!(
        async {
            let frame = sync(&message);
            writer.write_all(&frame).await
        },
        reading
    );
    written?;
    read
}

/// A document of 2.8 MB that is being edited, and 60 people who come, take all of it and go.
async fn joins(address: SocketAddr) -> Result<()> {
    let mut writer = session(address, "joined").await?;
    for part in 0..PARTS {
        let mut message = vec![0, 2];
        write_bytes(&mut message, &costly::characters(part + 1, 20_000));
        writer.write_all(&sync(&message)).await?;
    }
    let (mut reader, mut writer) = writer.into_split();
    spawn_local(async move { swallow(&mut reader).await });
    spawn_local(async move {
        let mut due = interval(Duration::from_millis(100));
        for turn in 0.. {
            due.tick().await;
            if writer.write_all(&updates(1 << 41, turn)).await.is_err() {
                return;
            }
        }
    });
    for _ in 0..JOINS {
        again_and_again(async move || {
            let mut stream = session(address, "joined").await?;
            stream.write_all(&sync(&[0, 0, 1, 0])).await?;
            let (mut buffer, mut read) = (vec![0; 64 << 10], 0);
            while read < JOINED {
                match stream.read(&mut buffer).await? {
                    0 => break,
                    count => read += count,
                }
            }
            anyhow::Ok(())
        });
    }
    Ok(())
}

/// What ends is done again.
fn again_and_again(mut work: impl AsyncFnMut() -> Result<()> + 'static) {
    spawn_local(async move {
        loop {
            // To be thrown out is what an attacker expects.
            let _ = work().await;
            sleep(PAUSE).await;
        }
    });
}

async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((FROM, 0).into())?;
    Ok(socket.connect(address).await?)
}

async fn session(address: SocketAddr, document: &str) -> Result<TcpStream> {
    let mut stream = connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(wire::request(&format!("/yjs/{document}")).as_bytes()).await?;
    let mut head = Vec::new();
    while wire::head_length(&head)?.is_none() {
        ensure!(stream.read_buf(&mut head).await? > 0, "no answer");
    }
    Ok(stream)
}

async fn handshakes(address: SocketAddr) -> Result<()> {
    let (mut due, mut kept) = (interval(Duration::from_millis(1)), VecDeque::new());
    loop {
        due.tick().await;
        // A refused connection is no reason to end the attack.
        if let Ok(mut stream) = connect(address).await {
            let _ = stream.write_all(b"GET /yjs/notes HTTP/1.1\r\nHost: attack\r\n").await;
            kept.push_back(stream);
        }
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }
}

async fn drip(address: SocketAddr, place: usize) -> Result<()> {
    let mut stream = match place {
        0 | 1 => connect(address).await?,
        _ => session(address, "drips").await?,
    };
    match place {
        0 => stream.write_all(b"GET /").await?,
        1 => stream.write_all(b"GET /yjs/drips HTTP/1.1\r\nX: ").await?,
        _ => stream.write_all(&[0x82, 0xfe, 0x40, 0, 0, 0, 0, 0]).await?,
    }
    loop {
        sleep(Duration::from_secs(1)).await;
        stream.write_all(b"a").await?;
    }
}

/// The same edit of 256 KiB, 20 times a second: the document is busy and does not grow.
async fn write_the_same(address: SocketAddr) -> Result<()> {
    let mut update = vec![1, 1, 1, 0, 4, 1, 1, b't'];
    write_bytes(&mut update, &[b'x'; 256 << 10]);
    update.push(0);
    let mut message = vec![0, 2];
    write_bytes(&mut message, &update);
    let (frame, mut due) = (sync(&message), interval(Duration::from_millis(50)));
    let (mut reader, mut writer) = session(address, "busy").await?.into_split();
    let reading = spawn_local(async move { swallow(&mut reader).await });
    while !reading.is_finished() {
        due.tick().await;
        writer.write_all(&frame).await?;
    }
    Ok(())
}

async fn refused(address: SocketAddr, index: usize) -> Result<()> {
    let mut stream = session(address, "refused").await?;
    let bad: Vec<u8> = match index % 6 {
        0 => [&[0x82, 0xff][..], &(1u64 << 63).to_be_bytes(), &[0; 4]].concat(),
        1 => [&[0x82, 0xff][..], &(1u64 << 62).to_be_bytes(), &[0; 4]].concat(),
        2 => frame(0x81, b"text"),
        3 => sync(&[0, 2, 3, 1, 2, 3]),
        4 => sync(&[9, 9]),
        _ => frame(0x82, &[3; 5000]),
    };
    stream.write_all(&bad).await?;
    swallow(&mut stream).await
}

/// A session that sends what `next` gives, as fast as it is taken, and reads what comes.
async fn flood(address: SocketAddr, document: &str, first: &[u8], mut next: impl FnMut(u64) -> Vec<u8>) -> Result<()> {
    let (mut reader, mut writer) = session(address, document).await?.into_split();
    let reading = spawn_local(async move { swallow(&mut reader).await });
    writer.write_all(first).await?;
    for turn in 0.. {
        writer.write_all(&next(turn)).await?;
        if reading.is_finished() {
            break;
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn swallow(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    while from.read(&mut buffer).await? > 0 {}
    Ok(())
}

fn presences(first: u64, turn: u64) -> Vec<u8> {
    let mut body = Vec::new();
    write_var(&mut body, 100);
    for client in first..first + 100 {
        write_var(&mut body, 1 + client);
        write_var(&mut body, 1 + turn);
        write_bytes(&mut body, format!("\"{}\"", "x".repeat(1022)).as_bytes());
    }
    let mut message = vec![1];
    write_bytes(&mut message, &body);
    sync(&message)
}

/// 100 edits of one author.
fn updates(author: u64, turn: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for clock in turn as u32 * 100..(turn as u32 + 1) * 100 {
        let (mut update, mut message) = (Vec::new(), vec![0, 2]);
        edit::encode(author, clock, &mut update);
        write_bytes(&mut message, &update);
        wire::write(wire::BINARY, &message, &mut out);
    }
    out
}

fn sync(message: &[u8]) -> Vec<u8> {
    frame(0x82, message)
}

/// Any frame, also one that no client sends.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::write(wire::BINARY, payload, &mut out);
    out[0] = first;
    out
}
