//! The disk of a gateway with embedded storage is full, and then there is room again.

use gateway::protocol::yjs::Message;

use crate::client::Client;
use crate::disk::Disk;
use crate::gateway_process::{eventually, metric_at};
use crate::process::Process;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_people_go_on_nothing_is_acknowledged_and_with_room_all_of_it_is_without_a_restart() {
    let disk = Disk::mount();
    let flags = ["--data-dir", disk.data(), "--checkpoint-after", "50ms"];
    let gateway = Process::start(&flags).await;
    let mut ann = Client::synced(gateway.public, "notes").await;
    let mut bob = Client::synced(gateway.public, "notes").await;
    ann.write_acknowledged("before").await;

    disk.set_capacity(Some(disk.used()));
    let mut text = "before".to_owned();
    let mut unsafe_yet = Vec::new();
    for n in 0..20 {
        let words = format!(" {n}");
        text.push_str(&words);
        unsafe_yet.push(Message::Update(ann.write(&words).await));
        bob.until_text(&text).await;
    }
    assert_eq!(Client::synced(gateway.public, "notes").await.text(), text, "for whoever comes now");
    let both_fail = async || {
        metric_at(gateway.admin, "editorcluster_log_errors_total").await >= 3.0
            && metric_at(gateway.admin, "editorcluster_store_errors_total").await >= 2.0
    };
    tokio::select! {
        () = eventually("log and database have failed several times", both_fail) => {}
        code = ann.closed() => panic!("closed with {code}"),
    }
    assert!(!ann.heard.iter().any(|message| unsafe_yet.contains(message)), "acknowledged without being on the disk");
    assert_eq!(gateway.log().matches("the log takes no edits").count(), 1, "{}", gateway.log());
    assert!(gateway.log().contains("full"), "{}", gateway.log());

    disk.set_capacity(None);
    let all = |ann: &Client| unsafe_yet.iter().all(|message| ann.heard.contains(message));
    ann.until("the acknowledgements", all).await;
    eventually("it says so", async || gateway.log().contains("the log takes edits again")).await;
    gateway.kill().await;
    let gateway = Process::start(&flags).await;
    assert_eq!(Client::synced(gateway.public, "notes").await.text(), text);
}
