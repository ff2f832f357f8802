//! Keys: put, get, ranges, streams, transactions, deletes, compaction, and a prefix that is a namespace.

use etcd_client::{
    CompactionOptions, Compare, CompareOp, DeleteOptions, GetOptions, KvClientPrefix, PutOptions,
    SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse,
};

use crate::suite::{Outcome, Suite, refused, text, told, want};

pub async fn run(suite: &Suite) {
    suite.check("kv/put-get", put_get(suite)).await;
    suite.check("kv/put-options", put_options(suite)).await;
    suite.check("kv/ranges", ranges(suite)).await;
    suite.check("kv/stream", stream(suite)).await;
    suite.check("kv/txn", txn(suite)).await;
    suite.check("kv/deletes", deletes(suite)).await;
    suite.check("kv/compaction", compaction(suite)).await;
    suite.check("kv/refusals", refusals(suite)).await;
    suite.check("kv/namespace", namespace(suite)).await;
}

async fn put_get(suite: &Suite) -> Outcome {
    let (mut etcd, base) = (suite.client.clone(), suite.revision().await?);
    let first = etcd.put("kv/a", "1", None).await?;
    want("revision", first.header().map_or(0, |header| header.revision()), base + 1)?;
    let second = etcd.put("kv/a", "2", Some(PutOptions::new().with_prev_key())).await?;
    let before = told(second.prev_key().map(std::slice::from_ref).unwrap_or_default(), base);
    etcd.put(b"kv/\x00\xff", b"\x00\x01\xfe", None).await?;
    let binary = etcd.get(b"kv/\x00\xff", None).await?;
    want("binary", format!("{:?}", binary.kvs()[0].value()), "[0, 1, 254]")?;
    let header = binary.header().ok_or("no header")?;
    let ids = header.cluster_id() != 0 && header.member_id() != 0 && header.raft_term() > 0;
    want("ids", ids, true)?;
    want("none", etcd.get("kv/none", None).await?.count(), 0)?;
    let past = etcd.get("kv/a", Some(GetOptions::new().with_revision(base + 1))).await?;
    let serial = etcd.get("kv/a", Some(GetOptions::new().with_serializable())).await?;
    want("serializable", serial.count(), 1)?;
    let now = etcd.get("kv/a", None).await?;
    Ok(format!("{}; before {before}; past {}", told(now.kvs(), base), told(past.kvs(), base)))
}

async fn put_options(suite: &Suite) -> Outcome {
    let mut etcd = suite.client.clone();
    let lease = etcd.lease_grant(600, None).await?.id();
    etcd.put("po", "1", Some(PutOptions::new().with_lease(lease))).await?;
    etcd.put("po", "2", Some(PutOptions::new().with_ignore_lease())).await?;
    want("lease is kept", etcd.get("po", None).await?.kvs()[0].lease() == lease, true)?;
    etcd.put("po", "", Some(PutOptions::new().with_ignore_value())).await?;
    let pair = etcd.get("po", None).await?.kvs()[0].clone();
    let ignored = etcd.put("pn", "", Some(PutOptions::new().with_ignore_value())).await;
    let unknown = etcd.put("pn", "", Some(PutOptions::new().with_lease(4711))).await;
    etcd.lease_revoke(lease).await?;
    let (ignored, unknown) = (refused(ignored)?, refused(unknown)?);
    Ok(format!("{} {}; {ignored}; {unknown}", text(pair.value()), pair.lease()))
}

async fn ranges(suite: &Suite) -> Outcome {
    let (mut etcd, base) = (suite.client.clone(), suite.revision().await?);
    for n in 0..10 {
        etcd.put(format!("r/{n}"), (n * n).to_string(), None).await?;
    }
    etcd.put("r/3", "again", None).await?;
    let all = || GetOptions::new().with_prefix();
    let sort = |target, order| all().with_sort(target, order).with_limit(2);
    let asked = [
        ("r/", all().with_limit(3)),
        ("r/2", GetOptions::new().with_range("r/5")),
        ("r/8", GetOptions::new().with_from_key().with_limit(2)),
        ("", GetOptions::new().with_all_keys().with_limit(1).with_min_create_revision(base + 1)),
        ("r/", all().with_revision(base + 2)),
        ("r/", all().with_min_mod_revision(base + 10)),
        ("r/", all().with_max_mod_revision(base + 2)),
        ("r/", all().with_max_create_revision(base + 2)),
        ("r/", all().with_keys_only()),
        ("r/", all().with_count_only()),
        ("r/", sort(SortTarget::Key, SortOrder::Descend)),
        ("r/", sort(SortTarget::Version, SortOrder::Descend)),
        ("r/", sort(SortTarget::Create, SortOrder::Descend)),
        ("r/", sort(SortTarget::Mod, SortOrder::Descend)),
        ("r/", sort(SortTarget::Value, SortOrder::Ascend)),
    ];
    let mut parts = Vec::new();
    for (key, options) in asked {
        let answer = etcd.get(key, Some(options)).await?;
        parts.push(format!("{} ({} {})", told(answer.kvs(), base), answer.count(), answer.more()));
    }
    Ok(parts.join("; "))
}

async fn stream(suite: &Suite) -> Outcome {
    let mut kv = suite.client.kv_client();
    for n in 0..40 {
        kv.put(format!("st/{n:02}"), n.to_string(), None).await?;
    }
    let mut chunks = kv.get_stream("st/", Some(GetOptions::new().with_prefix())).await?;
    let (mut keys, mut count) = (Vec::new(), 0);
    while let Some(chunk) = chunks.message().await? {
        keys.extend(chunk.kvs().iter().map(|pair| text(pair.key())));
        count = chunk.count();
    }
    want("in order", keys.is_sorted(), true)?;
    Ok(format!("{} of {count}", keys.len()))
}

async fn txn(suite: &Suite) -> Outcome {
    let mut etcd = suite.client.clone();
    etcd.put("t/a", "1", None).await?;
    let base = suite.revision().await?;
    let inner = Txn::new()
        .when([Compare::version("t/b", CompareOp::Equal, 0)])
        .and_then([TxnOp::put("t/b", "inner", None)])
        .or_else([TxnOp::get("t/b", None)]);
    let good = Txn::new()
        .when([
            Compare::value("t/a", CompareOp::Equal, "1"),
            Compare::version("t/a", CompareOp::Greater, 0),
            Compare::create_revision("t/none", CompareOp::Equal, 0),
            Compare::mod_revision("t/a", CompareOp::Less, base + 1),
            Compare::lease("t/a", CompareOp::NotEqual, 1),
            Compare::version("t/", CompareOp::Equal, 1).with_prefix(),
            Compare::version("t/a", CompareOp::Equal, 1).with_range("t/b"),
        ])
        .and_then([
            TxnOp::put("t/a", "2", None),
            TxnOp::get("t/a", None),
            TxnOp::delete("t/none", None),
            TxnOp::txn(inner),
        ]);
    let good = etcd.txn(good).await?;
    let mut words = vec![good.succeeded().to_string()];
    for answer in good.op_responses() {
        words.push(match answer {
            TxnOpResponse::Put(_) => "put".to_owned(),
            TxnOpResponse::Get(got) => told(got.kvs(), base),
            TxnOpResponse::Delete(gone) => format!("{} deleted", gone.deleted()),
            TxnOpResponse::Txn(inner) => format!("inner {}", inner.succeeded()),
        });
    }
    let bad = Txn::new()
        .when([Compare::value("t/a", CompareOp::Equal, "1")])
        .and_then([TxnOp::put("t/a", "wrong", None)])
        .or_else([TxnOp::get("t/", Some(GetOptions::new().with_prefix()))]);
    let bad = etcd.txn(bad).await?;
    let [TxnOpResponse::Get(other)] = &bad.op_responses()[..] else {
        return Err("the other branch is one get".into());
    };
    let twice = [TxnOp::put("t/x", "1", None), TxnOp::put("t/x", "2", None)];
    let twice = refused(etcd.txn(Txn::new().and_then(twice)).await)?;
    Ok(format!("{}; {} {}; {twice}", words.join(", "), bad.succeeded(), told(other.kvs(), base)))
}

async fn deletes(suite: &Suite) -> Outcome {
    let (mut etcd, base) = (suite.client.clone(), suite.revision().await?);
    for key in ["d/a", "d/b", "d/c", "d/d"] {
        etcd.put(key, "x", None).await?;
    }
    let one = etcd.delete("d/a", Some(DeleteOptions::new().with_prev_key())).await?;
    let none = etcd.delete("d/a", None).await?;
    let two = etcd.delete("d/b", Some(DeleteOptions::new().with_range("d/d"))).await?;
    let rest = etcd.delete("d/", Some(DeleteOptions::new().with_prefix())).await?;
    let counts = [&one, &none, &two, &rest].map(|answer| answer.deleted());
    Ok(format!("{counts:?} {}", told(one.prev_kvs(), base)))
}

async fn compaction(suite: &Suite) -> Outcome {
    let mut etcd = suite.client.clone();
    etcd.put("c/a", "1", None).await?;
    etcd.put("c/a", "2", None).await?;
    let now = suite.revision().await?;
    etcd.compact(now, Some(CompactionOptions::new().with_physical())).await?;
    let gone = etcd.get("c/a", Some(GetOptions::new().with_revision(now - 1))).await;
    let (again, future) = (etcd.compact(now, None).await, etcd.compact(now + 99, None).await);
    Ok(format!("{}; {}; {}", refused(gone)?, refused(again)?, refused(future)?))
}

async fn refusals(suite: &Suite) -> Outcome {
    let mut etcd = suite.client.clone();
    let empty = etcd.put("", "x", None).await;
    let large = etcd.put("large", vec![0; 1700 * 1024], None).await;
    let many: Vec<TxnOp> = (0..129).map(|n| TxnOp::put(format!("many/{n}"), "", None)).collect();
    let many = etcd.txn(Txn::new().and_then(many)).await;
    Ok(format!("{}; {}; {}", refused(empty)?, refused(large)?, refused(many)?))
}

async fn namespace(suite: &Suite) -> Outcome {
    let base = suite.revision().await?;
    let mut inside = KvClientPrefix::new(suite.client.kv_client(), b"ns/".to_vec());
    inside.put("a", "1", None).await?;
    let create = Txn::new()
        .when([Compare::version("b", CompareOp::Equal, 0)])
        .and_then([TxnOp::put("b", "2", None)]);
    want("created", inside.txn(create).await?.succeeded(), true)?;
    let here = inside.get("", Some(GetOptions::new().with_all_keys())).await?;
    let prefix = Some(GetOptions::new().with_prefix());
    let outside = suite.client.kv_client().get("ns/", prefix).await?;
    let gone = inside.delete("a", None).await?;
    let (here, outside) = (told(here.kvs(), base), told(outside.kvs(), base));
    Ok(format!("{here}; {outside}; {}", gone.deleted()))
}
