{{- define "superpixel.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "superpixel.selector" -}}
app.kubernetes.io/name: {{ include "superpixel.name" . }}
{{- end -}}

{{- /* Of the HTTP API. */ -}}
{{- define "superpixel.httpSelector" -}}
app.kubernetes.io/name: {{ include "superpixel.name" . }}-http
{{- end -}}

{{- define "superpixel.labels" -}}
{{ include "superpixel.selector" . }}
{{ include "superpixel.releaseLabels" . }}
{{- end -}}

{{- define "superpixel.httpLabels" -}}
{{ include "superpixel.httpSelector" . }}
{{ include "superpixel.releaseLabels" . }}
{{- end -}}

{{- define "superpixel.releaseLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "superpixel.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default (printf "%s%s" .Chart.AppVersion (ternary "-cuda" "" .Values.gpu.enabled)) }}
{{- end -}}
{{- end -}}

{{- /* The HTTP API needs no GPU, so by default its image is the one without CUDA. */ -}}
{{- define "superpixel.httpImage" -}}
{{- if or .Values.image.digest .Values.image.tag -}}
{{ include "superpixel.image" . }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- /* The settings as environment variables. */ -}}
{{- define "superpixel.settings" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- if .Values.gpu.enabled }}{{ $settings = mergeOverwrite $settings .Values.gpu.settings }}{{ end -}}
{{- if .Values.plaintext }}{{ $_ := set $settings "allow_plaintext" "true" }}{{ end -}}
{{- if .Values.tls.enabled }}
{{- $_ := set $settings "tls_cert_file" "/etc/superpixel/tls/tls.crt" }}
{{- $_ := set $settings "tls_key_file" "/etc/superpixel/tls/tls.key" }}
{{- $_ := set $settings "tls_client_ca_file" "/etc/superpixel/tls/ca.crt" }}
{{- $_ := set $settings "token_file" "/etc/superpixel/tokens/tokens" }}
{{- end -}}
{{- if .Values.tracing.enabled }}{{ $_ := set $settings "traces" "otlp" }}{{ end -}}
{{- range $name, $value := $settings }}
SUPERPIXEL_{{ upper $name }}: {{ $value | toString | quote }}
{{- end }}
{{- if .Values.tracing.enabled }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ .Values.tracing.endpoint | quote }}
{{- end }}
{{- end -}}
