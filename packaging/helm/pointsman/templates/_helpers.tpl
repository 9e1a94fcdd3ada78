{{- define "pointsman.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "pointsman.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- $full | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "pointsman.selector" -}}
app.kubernetes.io/name: {{ include "pointsman.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: proxy
{{- end -}}

{{- define "pointsman.valkey.selector" -}}
app.kubernetes.io/name: {{ include "pointsman.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: valkey
{{- end -}}

{{- define "pointsman.common" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: pointsman
{{- end -}}

{{- define "pointsman.labels" -}}
{{ include "pointsman.selector" . }}
{{ include "pointsman.common" . }}
{{- end -}}

{{- define "pointsman.valkey.labels" -}}
{{ include "pointsman.valkey.selector" . }}
{{ include "pointsman.common" . }}
{{- end -}}

{{- define "pointsman.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "pointsman.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* repository:tag, or repository@digest. */}}
{{- define "pointsman.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .tag }}
{{- end -}}
{{- end -}}

{{- define "pointsman.configMap" -}}
{{- default (include "pointsman.fullname" .) .Values.existingConfigMap -}}
{{- end -}}

{{/* The configuration: what the values say, with what the chart decides laid over it. */}}
{{- define "pointsman.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if not $config.providers -}}
{{- fail "config.providers is empty: name the providers, as in proxy_config.yaml, or a ConfigMap in existingConfigMap" -}}
{{- end -}}
{{- $server := dict "host" "0.0.0.0" "port" 8000 "drain_delay" .Values.drain.delay "drain_timeout" .Values.drain.timeout -}}
{{- if .Values.admin.enabled -}}
{{- $_ := set $server "admin" (dict "host" "0.0.0.0" "port" .Values.admin.port "api_key" "${file:/run/secrets/pointsman-admin/key}") -}}
{{- end -}}
{{- $_ := set $config "server" (mergeOverwrite (deepCopy (default dict $config.server)) $server) -}}
{{- if .Values.valkey.enabled -}}
{{- $state := dict "url" (printf "redis://%s-valkey:6379/0" (include "pointsman.fullname" .)) "password_file" "/run/secrets/pointsman-valkey/password" -}}
{{- $_ := set $config "state" (mergeOverwrite (deepCopy (default dict $config.state)) $state) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* What cannot be right, said before anything is made. */}}
{{- define "pointsman.check" -}}
{{- if and .Values.admin.enabled (not .Values.admin.existingSecret) -}}
{{- fail "admin.existingSecret is empty: the admin listener needs a key. kubectl create secret generic pointsman-admin --from-literal=key=$(openssl rand -hex 24), then admin.existingSecret=pointsman-admin" -}}
{{- end -}}
{{- if and .Values.valkey.enabled (not .Values.valkey.existingSecret) -}}
{{- fail "valkey.existingSecret is empty: the engine needs a password. kubectl create secret generic pointsman-valkey --from-literal=password=$(openssl rand -hex 24), then valkey.existingSecret=pointsman-valkey" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not .Values.admin.enabled) -}}
{{- fail "serviceMonitor.enabled needs admin.enabled: /metrics is served to other machines by the admin listener alone" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host is empty: name the host that clients ask for" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is larger than autoscaling.maxReplicas" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (not .Values.autoscaling.targetCPU) (not .Values.autoscaling.targetQueueWaiting) -}}
{{- fail "autoscaling has nothing to go by: set autoscaling.targetCPU or autoscaling.targetQueueWaiting" -}}
{{- end -}}
{{- end -}}
