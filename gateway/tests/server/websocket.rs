//! RFC 6455 on a real socket: what the handshake answers, control frames, and the end.

use gateway::protocol::yjs::Message;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::client::Client;
use crate::gateway_process::{DEADLINE, eventually, metric, raw, start_embedded};
use crate::raw::{Raw, UPGRADE, frame};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_is_told_which_one_is_spoken() {
    let (gateway, _data) = start_embedded(&[]).await;
    let answer = raw(gateway.public_addr, &UPGRADE.replace("Version: 13", "Version: 8")).await;
    assert_eq!(answer.status, 426);
    for header in ["Sec-WebSocket-Version: 13", "Upgrade: websocket"] {
        assert!(answer.head.lines().any(|line| line == header), "{}", answer.head);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_protocol_nor_an_extension_that_was_offered_is_taken() {
    let (gateway, _data) = start_embedded(&[]).await;
    let offers = "Host: test\r\nSec-WebSocket-Protocol: yjs, chat\r\nSec-WebSocket-Extensions: permessage-deflate";
    let mut client = Raw::connect(gateway.public_addr).await;
    client.send(UPGRADE.replace("Host: test", offers).as_bytes()).await;
    assert_eq!(
        client.switched().await,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
}

/// The next frame of the gateway, which must be short.
async fn short_frame(client: &mut Raw) -> (u8, Vec<u8>) {
    let read = async {
        let (first, length) = (client.0.read_u8().await?, client.0.read_u8().await?);
        assert!(length < 126, "a longer frame");
        let mut payload = vec![0; length.into()];
        client.0.read_exact(&mut payload).await?;
        std::io::Result::Ok((first, payload))
    };
    timeout(DEADLINE, read).await.expect("the gateway answers").expect("the socket is open")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_within_a_fragmented_message_is_answered_with_its_bytes_and_a_pong_is_no_question() {
    let (gateway, _data) = start_embedded(&[]).await;
    let mut client = Raw::upgraded(gateway.public_addr).await;
    let question = Message::QueryAwareness.encode();
    let longest = [7; 125];
    let stream = [
        frame(0x8a, b"nobody asked"),
        frame(0x02, &question[..0]),
        frame(0x8a, b""),
        frame(0x89, &longest),
        frame(0x80, &question),
        frame(0x89, b""),
    ];
    client.send(&stream.concat()).await;
    let mut heard = Vec::new();
    while heard.len() < 3 {
        let (first, payload) = short_frame(&mut client).await;
        // The room greets as soon as the document is there.
        let greeting = first == 0x82 && payload.first() == Some(&0);
        if !greeting {
            heard.push((first, payload));
        }
    }
    let pongs: Vec<_> = heard.iter().filter(|(first, _)| *first == 0x8a).map(|(_, payload)| &payload[..]).collect();
    assert_eq!(pongs, [&longest[..], b""], "{heard:?}");
    assert!(heard.iter().any(|(first, payload)| (*first, payload.first()) == (0x82, Some(&1))), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_behind_a_close_has_no_meaning_and_the_close_is_answered_with_its_code() {
    let (gateway, _data) = start_embedded(&[]).await;
    let mut ann = Client::synced(gateway.public_addr, "notes").await;
    let mut late = Client::synced(gateway.public_addr, "elsewhere").await;
    let edit = Message::Update(late.write_offline("too late")).encode();
    for (close, code) in [(&4001_u16.to_be_bytes()[..], 4001), (&[][..], 1000)] {
        let client = {
            let mut client = Raw::upgraded(gateway.public_addr).await;
            let stream = [frame(0x88, close), frame(0x82, &edit), frame(0x89, b"?"), vec![0xff; 9]];
            client.send(&stream.concat()).await;
            client
        };
        assert_eq!(client.closed().await, Some(code));
    }
    eventually("they are gone", async || metric(&gateway, "editorcluster_connections").await == 2.0).await;
    ann.write_acknowledged("in time").await;
    let mut bob = Client::synced(gateway.public_addr, "notes").await;
    bob.until_text("in time").await;
}
