{{- define "trunkline.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "trunkline.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "trunkline.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "trunkline.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "trunkline.selector" -}}
app.kubernetes.io/name: {{ include "trunkline.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "trunkline.labels" -}}
{{ include "trunkline.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "trunkline.claim" -}}
{{- default (printf "%s-products" (include "trunkline.fullname" .)) .Values.products.existingClaim -}}
{{- end -}}

{{- define "trunkline.scheme" -}}
{{- if .Values.server.tlsSecret -}}HTTPS{{- else -}}HTTP{{- end -}}
{{- end -}}

{{/* Whether more than one pod may run. */}}
{{- define "trunkline.several" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) -}}true{{- end -}}
{{- end -}}

{{/* What the schema can't say. */}}
{{- define "trunkline.checked" -}}
{{- if not .Values.store.secret -}}
{{- fail "store.secret: name a Secret whose key `store` is the address of the store of keys; without keys the server answers its own pod only (docs/deploy.md)" -}}
{{- end -}}
{{- if and (include "trunkline.several" .) .Values.products.persistence (not .Values.products.existingClaim) (not (has "ReadWriteMany" .Values.products.accessModes)) -}}
{{- fail "products.accessModes: several replicas share the volume of products, so it must be ReadWriteMany; or put the products into the image and set products.persistence to false" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas" -}}
{{- end -}}
{{- end -}}
