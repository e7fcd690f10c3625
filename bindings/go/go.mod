module mlflowartifacts

go 1.19
