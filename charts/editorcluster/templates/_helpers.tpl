{{/* What every name starts with. 40 characters leave room for what is put behind it. */}}
{{- define "editorcluster.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "editorcluster.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "editorcluster.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The name is not the one that an EditorCluster's own pods carry, so that no selector of theirs finds the operator. */}}
{{- define "editorcluster.selectorLabels" -}}
app.kubernetes.io/name: editorcluster-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "editorcluster.labels" -}}
{{ include "editorcluster.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "editorcluster.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{/* The Secret with the certificate of the metrics API, and the ClusterRole that owns it and the APIService. */}}
{{- define "editorcluster.metricsApiName" -}}
{{- printf "%s-metrics-api" (include "editorcluster.fullname" .) -}}
{{- end -}}
