module gocalls

go 1.19

require mlflowartifacts v0.0.0

replace mlflowartifacts => ../../bindings/go
