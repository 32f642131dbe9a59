//! The EditorClusters that the scenarios apply.

/// What a scenario needs and no more: two small gateways that drain quickly, reachable on the nodes.
pub(crate) fn small(name: &str) -> String {
    format!(
        r#"
apiVersion: editorcluster.io/v1alpha1
kind: EditorCluster
metadata: {{name: {name}}}
spec:
  autoscaling: {{minReplicas: 2, maxReplicas: 6, connectionsPerReplica: 150}}
  gateway:
    settleSeconds: 3
    drainWindowSeconds: 5
    resources: {{requests: {{cpu: 20m, memory: 32Mi}}}}
  redis: {{managed: {{resources: {{requests: {{cpu: 10m, memory: 32Mi}}}}}}}}
  storage:
    deletionPolicy: Delete
    postgres: {{managed: {{resources: {{requests: {{cpu: 10m, memory: 64Mi}}}}}}}}
  routing: {{expose: {{type: NodePort}}}}
"#
    )
}
