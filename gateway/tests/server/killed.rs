//! kill -9 of a gateway with embedded storage, while people write.

use std::collections::BTreeMap;

use crate::client::Client;
use crate::people::{Acknowledged, missing, write};
use crate::process::Process;

const DOCUMENTS: [&str; 3] = ["a", "b", "c"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_each_of_several_kills_under_load_every_acknowledged_edit_is_there() {
    let data = tempfile::tempdir().unwrap();
    let flags = ["--data-dir", data.path().to_str().unwrap(), "--checkpoint-after", "30ms"];
    let acknowledged = Acknowledged::default();
    for round in 0..5 {
        let gateway = Process::start(&flags).await;
        let mut texts = BTreeMap::new();
        for document in DOCUMENTS {
            texts.insert(document, Client::synced(gateway.public, document).await.text());
        }
        let before = acknowledged.edits();
        let lost = missing(&before, &texts);
        assert!(lost.is_empty(), "{} of {} are lost: {:?}", lost.len(), before.len(), lost.first());
        let people = write(gateway.public, &DOCUMENTS, &round.to_string(), &acknowledged, || 0);
        acknowledged.until_there_are(before.len() + 200).await;
        gateway.kill().await;
        people.join_all().await;
    }
    assert!(acknowledged.edits().len() >= 1000);
}
