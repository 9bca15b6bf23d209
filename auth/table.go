package auth

import (
	"slices"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Rule says who may make a call.
type Rule struct {
	// Roles any of which a caller must have.
	Roles []Role
	// Public calls need no credentials.
	Public bool
	// Audited calls are written to the audit log, those that were refused too.
	Audited bool
}

var (
	anyRole  = []Role{Read, Write, Train, Admin}
	read     = []Role{Read}
	write    = []Role{Write}
	train    = []Role{Train}
	watch    = []Role{Read, Train}
	metrics  = []Role{Metrics}
	admin    = []Role{Admin}
	nodes    = []Role{Node}
	internal = Rule{Roles: nodes}
)

// table has a rule for each method of gRPC, by its full name, and each route of HTTP that is no method, by its pattern. What has none is refused.
// Routes that are methods have the rules of these (Guard.Method).
var table = map[string]Rule{
	kithv1.EventsService_Append_FullMethodName:    {Roles: write},
	kithv1.EventsService_List_FullMethodName:      {Roles: read},
	kithv1.EventsService_JoinUsers_FullMethodName: {Roles: write, Audited: true},
	"POST /v1/events":                             {Roles: write},

	// What the HTTP face is, and a page to try it with, tell nothing of a cluster.
	"GET /openapi.json": {Public: true},
	"GET /docs":         {Public: true},
	"GET /docs/{file}":  {Public: true},

	kithv1.CatalogService_PutRecords_FullMethodName:    {Roles: write},
	kithv1.CatalogService_GetRecords_FullMethodName:    {Roles: read},
	kithv1.CatalogService_ListRecords_FullMethodName:   {Roles: read},
	kithv1.CatalogService_DeleteRecords_FullMethodName: {Roles: write, Audited: true},
	kithv1.CatalogService_PutRecord_FullMethodName:     {Roles: write},
	kithv1.CatalogService_GetRecord_FullMethodName:     {Roles: read},
	kithv1.CatalogService_DeleteRecord_FullMethodName:  {Roles: write, Audited: true},

	kithv1.CatalogService_GetUserFeatures_FullMethodName:     {Roles: read},
	kithv1.CatalogService_ListUserFeatures_FullMethodName:    {Roles: read},
	kithv1.CatalogService_GetProductFeatures_FullMethodName:  {Roles: read},
	kithv1.CatalogService_ListProductFeatures_FullMethodName: {Roles: read},

	kithv1.RecommenderService_Recommend_FullMethodName:                {Roles: read},
	kithv1.RecommenderService_RecommendMany_FullMethodName:            {Roles: read},
	kithv1.RecommenderService_ExportRecommendations_FullMethodName:    {Roles: read},
	kithv1.RecommenderService_Similar_FullMethodName:                  {Roles: read},
	kithv1.RecommenderService_Trending_FullMethodName:                 {Roles: read},
	kithv1.RecommenderService_FrequentlyBoughtTogether_FullMethodName: {Roles: read},
	kithv1.RecommenderService_NewArrivals_FullMethodName:              {Roles: read},
	kithv1.RecommenderService_Latest_FullMethodName:                   {Roles: read},

	kithv1.InsightService_NextBehavior_FullMethodName:     {Roles: read},
	kithv1.InsightService_AssociationRules_FullMethodName: {Roles: read},
	kithv1.InsightService_ListClusters_FullMethodName:     {Roles: read},
	kithv1.InsightService_AssignCluster_FullMethodName:    {Roles: read},

	kithv1.ModelService_Build_FullMethodName:      {Roles: train, Audited: true},
	kithv1.ModelService_Cancel_FullMethodName:     {Roles: train, Audited: true},
	kithv1.ModelService_Activate_FullMethodName:   {Roles: train, Audited: true},
	kithv1.ModelService_WatchJob_FullMethodName:   {Roles: watch},
	kithv1.ModelService_ListModels_FullMethodName: {Roles: watch},

	kithv1.TrialService_Try_FullMethodName: {Roles: train, Audited: true},

	kithv1.SceneService_GetScenes_FullMethodName:        {Roles: watch},
	kithv1.SceneService_SetScenes_FullMethodName:        {Roles: train, Audited: true},
	kithv1.SceneService_ReportExperiment_FullMethodName: {Roles: watch},
	kithv1.SceneService_ReportScenes_FullMethodName:     {Roles: watch},

	// Clients of all kinds look whether the cluster is ready, and of how many partitions it is.
	kithv1.ClusterService_Status_FullMethodName:    {Roles: anyRole},
	kithv1.ClusterService_Backup_FullMethodName:    {Roles: admin, Audited: true},
	kithv1.ClusterService_SetIntent_FullMethodName: {Roles: admin, Audited: true},

	kithv1.ErasureService_EraseUser_FullMethodName: {Roles: admin, Audited: true},
	kithv1.ErasureService_PublicKey_FullMethodName: {Roles: anyRole},

	kithv1.PartitionService_AppendBatch_FullMethodName:    internal,
	kithv1.PartitionService_History_FullMethodName:        internal,
	kithv1.PartitionService_Cut_FullMethodName:            internal,
	kithv1.PartitionService_Popular_FullMethodName:        internal,
	kithv1.PartitionService_Dump_FullMethodName:           internal,
	kithv1.PartitionService_Info_FullMethodName:           internal,
	kithv1.PartitionService_ChangeReplica_FullMethodName:  internal,
	kithv1.PartitionService_AwaitReplica_FullMethodName:   internal,
	kithv1.PartitionService_TransferLeader_FullMethodName: internal,
	kithv1.PartitionService_ApplyRecords_FullMethodName:   internal,
	kithv1.PartitionService_ReadRecords_FullMethodName:    internal,
	kithv1.PartitionService_ScanRecords_FullMethodName:    internal,
	kithv1.PartitionService_ScanUsers_FullMethodName:      internal,
	kithv1.PartitionService_ApplyErasure_FullMethodName:   internal,
	kithv1.PartitionService_PurgeUser_FullMethodName:      internal,
	kithv1.PartitionService_StepJoin_FullMethodName:       internal,
	kithv1.PartitionService_LookUpUsers_FullMethodName:    internal,
	kithv1.PartitionService_PendingJoins_FullMethodName:   internal,

	kithv1.PartitionService_FollowProducts_FullMethodName:      internal,
	kithv1.PartitionService_ActiveItems_FullMethodName:         internal,
	kithv1.PartitionService_LastItems_FullMethodName:           internal,
	kithv1.PartitionService_BoughtTogether_FullMethodName:      internal,
	kithv1.PartitionService_ReadUserFeatures_FullMethodName:    internal,
	kithv1.PartitionService_ScanUserFeatures_FullMethodName:    internal,
	kithv1.PartitionService_ScanProductFeatures_FullMethodName: internal,
	kithv1.PartitionService_TallyExperiment_FullMethodName:     internal,

	kithv1.QueryService_NeighborLists_FullMethodName: internal,
	kithv1.QueryService_ScoreItems_FullMethodName:    internal,
	kithv1.QueryService_NearestUsers_FullMethodName:  internal,
	kithv1.QueryService_ScoreUsers_FullMethodName:    internal,

	kithv1.ComputeService_Count_FullMethodName:         internal,
	kithv1.ComputeService_PutDictionary_FullMethodName: internal,
	kithv1.ComputeService_Export_FullMethodName:        internal,
	kithv1.ComputeService_FetchPart_FullMethodName:     internal,
	kithv1.ComputeService_RunTasks_FullMethodName:      internal,
	kithv1.ComputeService_FetchPartials_FullMethodName: internal,
	kithv1.ComputeService_MergeLists_FullMethodName:    internal,
	kithv1.ComputeService_CopyArtifact_FullMethodName:  internal,
	kithv1.ComputeService_FetchArtifact_FullMethodName: internal,
	kithv1.ComputeService_BeginTraining_FullMethodName: internal,
	kithv1.ComputeService_TrainStep_FullMethodName:     internal,
	kithv1.ComputeService_FetchPut_FullMethodName:      internal,
	kithv1.ComputeService_WriteModel_FullMethodName:    internal,
	kithv1.ComputeService_EndTraining_FullMethodName:   internal,
	kithv1.ComputeService_DropJob_FullMethodName:       internal,
	kithv1.ComputeService_Changes_FullMethodName:       internal,
	kithv1.ComputeService_Follow_FullMethodName:        internal,
	kithv1.ComputeService_FollowRows_FullMethodName:    internal,
	kithv1.ComputeService_ListBounds_FullMethodName:    internal,
	kithv1.ComputeService_TellBounds_FullMethodName:    internal,
	kithv1.ComputeService_LookLists_FullMethodName:     internal,
	kithv1.ComputeService_SumPairs_FullMethodName:      internal,
	kithv1.ComputeService_FollowLists_FullMethodName:   internal,

	kithv1.ControlService_Propose_FullMethodName:   internal,
	kithv1.ControlService_Approve_FullMethodName:   internal,
	kithv1.ControlService_ReadIndex_FullMethodName: internal,
	kithv1.ControlService_Standing_FullMethodName:  internal,

	// Probes of orchestrators and balancers have no credentials, and learn no more than that a process serves.
	healthv1.Health_Check_FullMethodName: {Public: true},
	healthv1.Health_List_FullMethodName:  {Public: true},
	healthv1.Health_Watch_FullMethodName: {Public: true},

	"GET /metrics":             {Roles: metrics},
	"GET /debug/pprof/":        {Roles: admin, Audited: true},
	"GET /debug/pprof/profile": {Roles: admin, Audited: true},
	"GET /debug/pprof/trace":   {Roles: admin, Audited: true},
	"GET /debug/pprof/symbol":  {Roles: admin, Audited: true},

	reflectionv1.ServerReflection_ServerReflectionInfo_FullMethodName:      {Roles: anyRole},
	reflectionv1alpha.ServerReflection_ServerReflectionInfo_FullMethodName: {Roles: anyRole},
}

// Internal reports whether a method is one that servers of the cluster alone call.
func Internal(fullMethod string) bool {
	r, ok := table[fullMethod]
	return ok && slices.Equal(r.Roles, nodes)
}

// RuleOf returns the rule of a method or a route, if it has one.
func RuleOf(call string) (Rule, bool) {
	r, ok := table[call]
	return r, ok
}
