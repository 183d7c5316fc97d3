"""IAM and STS as boto3 sees them. Run by TestBoto3, which sets the environment."""

import json
import os
import unittest

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = os.environ["ENDPOINT"]
ACCOUNT = "123456789012"


def client(service, keys):
    # The server has to find wrong members itself, so boto3 does not look.
    config = Config(retries={"max_attempts": 0}, parameter_validation=False)
    return boto3.client(service, endpoint_url=ENDPOINT, config=config, **keys)


def keys(key_id, secret, token=None):
    return {"aws_access_key_id": key_id, "aws_secret_access_key": secret, "aws_session_token": token}


def session_keys(answer):
    c = answer["Credentials"]
    return keys(c["AccessKeyId"], c["SecretAccessKey"], c["SessionToken"])


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def trust(principal, **more):
    return document({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more})


ROOT = keys(os.environ["ROOT_ID"], os.environ["ROOT_SECRET"])
IAM = client("iam", ROOT)


class Case(unittest.TestCase):
    def refused(self, code, status, call, *args, **kw):
        with self.assertRaises(ClientError) as caught:
            call(*args, **kw)
        error = caught.exception.response
        self.assertEqual((code, status), (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]), error)
        return error["Error"]["Message"]

    def user(self, name, *statements):
        IAM.create_user(UserName=name)
        if statements:
            IAM.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(*statements))
        key = IAM.create_access_key(UserName=name)["AccessKey"]
        return keys(key["AccessKeyId"], key["SecretAccessKey"])

    def role(self, name, policy, **more):
        return IAM.create_role(RoleName=name, AssumeRolePolicyDocument=policy, **more)["Role"]


class Identity(Case):
    def test_root(self):
        who = client("sts", ROOT).get_caller_identity()
        self.assertEqual((ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT), (who["Account"], who["Arn"], who["UserId"]))
        self.assertEqual(f"arn:aws:iam::{ACCOUNT}:root", IAM.get_user()["User"]["Arn"])

    def test_user_knows_itself(self):
        mine = self.user("self", allow("iam:GetUser", "arn:aws:iam::*:user/${aws:username}"))
        self.assertEqual("self", client("iam", mine).get_user()["User"]["UserName"])
        self.assertEqual(f"arn:aws:iam::{ACCOUNT}:user/self", client("sts", mine).get_caller_identity()["Arn"])

    def test_wrong_keys(self):
        mine = self.user("wrong")
        unknown = keys("AKIAAAAAAAAAAAAAAAAA", "x")
        forged = {**mine, "aws_secret_access_key": "not the secret"}
        borrowed = {**mine, "aws_session_token": "not a token"}
        self.refused("InvalidClientTokenId", 403, client("sts", unknown).get_caller_identity)
        self.refused("SignatureDoesNotMatch", 403, client("sts", forged).get_caller_identity)
        self.refused("InvalidClientTokenId", 403, client("sts", borrowed).get_caller_identity)
        IAM.update_access_key(UserName="wrong", AccessKeyId=mine["aws_access_key_id"], Status="Inactive")
        self.refused("InvalidClientTokenId", 403, client("sts", mine).get_caller_identity)

    def test_expired_token(self):
        old = keys(os.environ["EXPIRED_ID"], os.environ["EXPIRED_SECRET"], os.environ["EXPIRED_TOKEN"])
        message = self.refused("ExpiredToken", 403, client("iam", old).list_users)
        self.assertIn("expired", message)


class Permissions(Case):
    def test_deny_by_default(self):
        mine = client("iam", self.user("nobody"))
        message = self.refused("AccessDenied", 403, mine.list_users)
        self.assertEqual(
            f"User: arn:aws:iam::{ACCOUNT}:user/nobody is not authorized to perform: iam:ListUsers on resource: "
            f"arn:aws:iam::{ACCOUNT}:user/ because no identity-based policy allows the iam:ListUsers action", message)

    def test_wildcards(self):
        mine = client("iam", self.user("wild", allow(["iam:Get*", "iam:List?sers"], f"arn:aws:iam::{ACCOUNT}:user/*"),
                                       {"Effect": "Deny", "Action": "iam:GetUser", "Resource": "arn:aws:iam::*:user/secret*"}))
        self.user("secret-1")
        mine.list_users()
        self.assertEqual("wild", mine.get_user(UserName="wild")["User"]["UserName"])
        self.assertIn("with an explicit deny in an identity-based policy",
                      self.refused("AccessDenied", 403, mine.get_user, UserName="secret-1"))
        self.refused("AccessDenied", 403, mine.create_user, UserName="another")
        self.refused("AccessDenied", 403, mine.list_roles)

    def test_conditions(self):
        here = {"IpAddress": {"aws:SourceIp": ["127.0.0.1", "::1"]}, "Bool": {"aws:SecureTransport": "false"}}
        elsewhere = {"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}}
        mine = client("iam", self.user("here", allow("iam:ListUsers", Condition=here), allow("iam:ListRoles", Condition=elsewhere)))
        mine.list_users()
        self.refused("AccessDenied", 403, mine.list_roles)


class Roles(Case):
    def test_life(self):
        made = self.role("life", trust({"Service": "sagemaker.amazonaws.com"}), Description="d", MaxSessionDuration=7200,
                         Tags=[{"Key": "team", "Value": "dogs"}])
        got = IAM.get_role(RoleName="life")["Role"]
        self.assertEqual(made["RoleId"], got["RoleId"])
        self.assertEqual("sagemaker.amazonaws.com", got["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"])
        self.assertEqual([{"Key": "team", "Value": "dogs"}], got["Tags"])
        self.assertEqual(7200, got["MaxSessionDuration"])
        IAM.put_role_policy(RoleName="life", PolicyName="p", PolicyDocument=document(allow("s3:*")))
        self.assertEqual("s3:*", IAM.get_role_policy(RoleName="life", PolicyName="p")["PolicyDocument"]["Statement"][0]["Action"])
        IAM.attach_role_policy(RoleName="life", PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")
        self.assertEqual(["AmazonSageMakerFullAccess"],
                         [p["PolicyName"] for p in IAM.list_attached_role_policies(RoleName="life")["AttachedPolicies"]])
        self.refused("DeleteConflict", 409, IAM.delete_role, RoleName="life")
        IAM.detach_role_policy(RoleName="life", PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")
        IAM.delete_role_policy(RoleName="life", PolicyName="p")
        IAM.delete_role(RoleName="life")
        with self.assertRaises(IAM.exceptions.NoSuchEntityException):
            IAM.get_role(RoleName="life")

    def test_errors(self):
        self.refused("NoSuchEntity", 404, IAM.get_role, RoleName="nothing")
        self.refused("NoSuchEntity", 404, IAM.put_role_policy, RoleName="nothing", PolicyName="p", PolicyDocument=document(allow("s3:*")))
        self.refused("MalformedPolicyDocument", 400, self.role, "bad", "{")
        self.refused("MalformedPolicyDocument", 400, self.role, "bad", document(allow("sts:AssumeRole")))
        self.refused("ValidationError", 400, self.role, "not a name", trust("*"))
        self.role("twice", trust("*"))
        with self.assertRaises(IAM.exceptions.EntityAlreadyExistsException):
            self.role("Twice", trust("*"))
        IAM.create_user(UserName="keys")
        IAM.create_access_key(UserName="keys")
        IAM.create_access_key(UserName="keys")
        with self.assertRaises(IAM.exceptions.LimitExceededException):
            IAM.create_access_key(UserName="keys")

    def test_paginators(self):
        for i in range(5):
            self.role(f"page-{i}", trust("*"), Path="/pages/")
        pages = list(IAM.get_paginator("list_roles").paginate(PathPrefix="/pages/", PaginationConfig={"PageSize": 2}))
        self.assertEqual([2, 2, 1], [len(p["Roles"]) for p in pages])
        self.assertEqual([f"page-{i}" for i in range(5)], [r["RoleName"] for p in pages for r in p["Roles"]])

    def test_managed_policy(self):
        arn = IAM.create_policy(PolicyName="users-only", PolicyDocument=document(allow("iam:ListUsers")))["Policy"]["Arn"]
        mine = self.user("holder", allow("sts:AssumeRole"))
        role = self.role("held", trust({"AWS": ACCOUNT}))
        IAM.attach_role_policy(RoleName="held", PolicyArn=arn)
        session = client("iam", session_keys(client("sts", mine).assume_role(RoleArn=role["Arn"], RoleSessionName="s1")))
        session.list_users()
        self.refused("AccessDenied", 403, session.list_roles)
        self.assertEqual("iam:ListUsers", IAM.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"]["Statement"][0]["Action"])
        self.refused("DeleteConflict", 409, IAM.delete_policy, PolicyArn=arn)
        IAM.detach_role_policy(RoleName="held", PolicyArn=arn)
        self.refused("AccessDenied", 403, session.list_users)  # at once, also for sessions already out
        IAM.delete_policy(PolicyArn=arn)


class Sessions(Case):
    def test_assume_role(self):
        mine = client("sts", self.user("assumer"))
        role = self.role("assumed", trust({"AWS": f"arn:aws:iam::{ACCOUNT}:user/assumer"}))
        IAM.put_role_policy(RoleName="assumed", PolicyName="p", PolicyDocument=document(allow("iam:List*")))
        answer = mine.assume_role(RoleArn=role["Arn"], RoleSessionName="s1", DurationSeconds=900)
        self.assertEqual(f"arn:aws:sts::{ACCOUNT}:assumed-role/assumed/s1", answer["AssumedRoleUser"]["Arn"])
        self.assertEqual(role["RoleId"] + ":s1", answer["AssumedRoleUser"]["AssumedRoleId"])
        session = session_keys(answer)
        self.assertEqual(answer["AssumedRoleUser"]["Arn"], client("sts", session).get_caller_identity()["Arn"])
        client("iam", session).list_users()
        self.refused("AccessDenied", 403, client("iam", session).create_user, UserName="no")
        self.refused("InvalidClientTokenId", 403, client("iam", {**session, "aws_session_token": "x"}).list_users)

    def test_refused(self):
        mine = client("sts", self.user("stranger", allow("*")))
        role = self.role("closed", trust({"Service": "sagemaker.amazonaws.com"}))
        self.assertEqual(
            f"User: arn:aws:iam::{ACCOUNT}:user/stranger is not authorized to perform: sts:AssumeRole on resource: {role['Arn']}",
            self.refused("AccessDenied", 403, mine.assume_role, RoleArn=role["Arn"], RoleSessionName="s1"))
        self.refused("AccessDenied", 403, mine.assume_role, RoleArn=f"arn:aws:iam::{ACCOUNT}:role/none", RoleSessionName="s1")
        opened = self.role("opened", trust({"AWS": ACCOUNT}))
        for change, code in (({"DurationSeconds": 3601}, "ValidationError"), ({"DurationSeconds": 60}, "ValidationError"),
                             ({"RoleSessionName": "a b"}, "ValidationError"), ({"Policy": "{}"}, "MalformedPolicyDocument")):
            self.refused(code, 400, mine.assume_role, **{"RoleArn": opened["Arn"], "RoleSessionName": "s1", **change})

    def test_external_id(self):
        mine = client("sts", self.user("partner", allow("sts:AssumeRole")))
        role = self.role("external", trust({"AWS": ACCOUNT}, Condition={"StringEquals": {"sts:ExternalId": "shared-word"}}))
        self.refused("AccessDenied", 403, mine.assume_role, RoleArn=role["Arn"], RoleSessionName="s1")
        self.refused("AccessDenied", 403, mine.assume_role, RoleArn=role["Arn"], RoleSessionName="s1", ExternalId="other")
        mine.assume_role(RoleArn=role["Arn"], RoleSessionName="s1", ExternalId="shared-word")

    def test_session_policy(self):
        mine = client("sts", self.user("narrow", allow("sts:AssumeRole")))
        role = self.role("wide", trust({"AWS": ACCOUNT}))
        IAM.put_role_policy(RoleName="wide", PolicyName="p", PolicyDocument=document(allow("iam:*")))
        session = client("iam", session_keys(mine.assume_role(RoleArn=role["Arn"], RoleSessionName="s1", Policy=document(allow("iam:ListUsers")))))
        session.list_users()
        self.assertIn("no session policy allows", self.refused("AccessDenied", 403, session.list_roles))
        by_arn = client("iam", session_keys(mine.assume_role(
            RoleArn=role["Arn"], RoleSessionName="s1", PolicyArns=[{"arn": "arn:aws:iam::aws:policy/IAMReadOnlyAccess"}])))
        by_arn.list_roles()
        self.refused("AccessDenied", 403, by_arn.create_user, UserName="no")

    def test_session_token(self):
        mine = self.user("tokens", allow("sts:*"), allow("iam:*"))
        session = session_keys(client("sts", mine).get_session_token(DurationSeconds=900))
        self.assertEqual(f"arn:aws:iam::{ACCOUNT}:user/tokens", client("sts", session).get_caller_identity()["Arn"])
        self.refused("AccessDenied", 403, client("sts", session).get_session_token)
        self.refused("InvalidClientTokenId", 403, client("iam", session).list_users)

    def test_chain(self):
        mine = client("sts", self.user("chain", allow("sts:AssumeRole")))
        first = self.role("chain-1", trust({"AWS": ACCOUNT}))
        IAM.put_role_policy(RoleName="chain-1", PolicyName="p", PolicyDocument=document(allow("sts:AssumeRole")))
        second = self.role("chain-2", trust({"AWS": first["Arn"]}), MaxSessionDuration=7200)
        self.refused("AccessDenied", 403, mine.assume_role, RoleArn=second["Arn"], RoleSessionName="s2")
        via = client("sts", session_keys(mine.assume_role(RoleArn=first["Arn"], RoleSessionName="s1")))
        via.assume_role(RoleArn=second["Arn"], RoleSessionName="s2")
        self.refused("ValidationError", 400, via.assume_role, RoleArn=second["Arn"], RoleSessionName="s2", DurationSeconds=7200)


if __name__ == "__main__":
    unittest.main()
